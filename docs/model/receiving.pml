/* Receiving: a slot's lease, its queue, the inbox, the letters, the acknowledgement.
 *
 * Two replicas of one service serve one slot, whose queue holds commands of one stream: m0, then m1
 * (with REPEATED m0 once more, since its relay died before it had marked it). Every transaction is
 * one atomic step, as is whatever the broker does. Between two steps a process may stand still for
 * any time: then its lease may end, its connection may break, or it may be killed.
 *
 *   OLD_K1     what is parked alone is parked although its receipt is there
 *   OLD_K4     a letter is put back, or its rejection written, without slot or a second look
 *   PARTITION_ONLY  it holds the slot but does not look at the letter again
 *   LOOK_ONLY  it looks at the letter again but does not hold the slot
 */

#ifndef FAULTS
#define FAULTS 2     /* leases that end, connections that break, commits that go wrong, kills */
#endif
#ifndef REFUSALS
#define REFUSALS 2   /* times that a handler does not do what it is asked */
#endif

#ifdef REPEATED
#define ENTRIES 3
#else
#define ENTRIES 2
#endif
#define message_at(place) ((place) % 2)

/* how a letter stands; what is WAITING or STUCK holds back what follows in the stream */
#define NONE 0
#define WAITING 1
#define STUCK 2
#define holds(m) (letter[m] != NONE)

/* where an entry of the queue is: READY, in the hand of replica 1 or 2, or acknowledged */
#define READY 0
#define GONE 3

/* how a transaction ended, for the process that asked for it; one that was not committed may have
 * raised an error of the database, and so may one that was */
#define DONE 0
#define STORAGE 1
#define NOT_YET 2
#define REJECTED 3
#define FAILED 4

/* the service's database */
byte owner = 1;      /* whose the slot is; 0: nobody's */
bool receipt[2];
byte letter[2];
byte version[2];     /* of a letter: how often it was put back */
bool effect[2];
bool settled[2];     /* a command's outcome is written */

/* the broker */
byte entry[ENTRIES];
byte consumer;       /* the one that is given messages (single active consumer); 0: none */
bool attached[3];

/* the processes */
bool lost[3];        /* the slot was another's since this replica began to serve it */
bool kill[3];
byte faults = FAULTS;
byte refusals = REFUSALS;

/* -- what transactions do */

inline settle(m) {
    assert(!settled[m]);                                      /* one outcome */
    settled[m] = true
}

inline handle(m) {
    assert(!effect[m]);                                       /* exactly once */
    effect[m] = true;
    assert(m == 0 || (receipt[0] && !holds(0)));              /* in order */
    assert(m == 1 || !effect[1]);
    settle(m)
}

inline park(m, how) {
    assert(!effect[m] && !settled[m]);                        /* what is done does not wait */
    receipt[m] = true;
    letter[m] = how
}

/* How a commit ends that was asked for: done, done and not answered, or not done. */
inline commit() {
    undone = false;
    if
    :: result = DONE
    :: faults > 0 -> faults--; result = STORAGE
    :: faults > 0 -> faults--; result = STORAGE; undone = true
    fi
}

/* One of a batch: its receipt, and its effect, its letter or its rejection. */
inline take_one(m) {
    if
    :: undone || receipt[m]
    :: else ->
        receipt[m] = true;
        if
        :: m == 1 && holds(0) -> letter[m] = WAITING
        :: else ->
            if
            :: handle(m)
            :: refusals > 0 -> refusals--; park(m, WAITING)
            :: refusals > 0 -> refusals--; settle(m)
            fi
        fi
    fi
}

/* One by itself: what its handler refuses is undone, and concluded apart. */
inline alone(m) {
    result = DONE;
    if
    :: receipt[m]
    :: !receipt[m] && m == 1 && holds(0) ->
        commit();
        if
        :: undone
        :: else -> park(m, WAITING)
        fi
    :: !receipt[m] && !(m == 1 && holds(0)) ->
        if
        :: commit();
            if
            :: undone
            :: else -> receipt[m] = true; handle(m)
            fi
        :: refusals > 0 -> refusals--;
            if
            :: result = NOT_YET
            :: result = REJECTED
            :: result = FAILED
            :: result = DONE; park(m, STUCK)                  /* it has ended processes before */
            fi
        fi
    fi
}

inline conclude(m) {
#ifdef OLD_K1
    if
    :: false
#else
    if
    :: receipt[m] -> result = DONE
#endif
    :: else ->
        error = result;
        commit();
        if
        :: undone
        :: !undone && error == REJECTED -> receipt[m] = true; settle(m)
        :: !undone && error != REJECTED -> park(m, WAITING)
        fi;
        error = 0
    fi
}

/* -- what the broker does */

inline give_back(who) {
    if
    :: entry[0] == who -> entry[0] = READY
    :: else
    fi;
    if
    :: entry[1] == who -> entry[1] = READY
    :: else
    fi;
#ifdef REPEATED
    if
    :: entry[2] == who -> entry[2] = READY
    :: else
    fi;
#endif
    attached[who] = false;
    if
    :: consumer == who -> consumer = 0
    :: else
    fi
}

/* The first that are ready, one or two of them. */
inline deliver() {
    place = 0;
    do
    :: place < ENTRIES && entry[place] != READY -> place++
    :: else -> break
    od;
    next = place + 1;
    do
    :: next < ENTRIES && entry[next] != READY -> next++
    :: else -> break
    od;
    entry[place] = me;
    if
    :: next < ENTRIES -> entry[next] = me
    :: next = ENTRIES
    fi
}

/* Over the connection by which it came, or not at all. */
inline acknowledge() {
    if
    :: entry[place] == me -> entry[place] = GONE
    :: else
    fi;
    if
    :: next < ENTRIES && entry[next] == me -> entry[next] = GONE
    :: else
    fi
}

#ifdef REPEATED
#define is_ready (entry[0] == READY || entry[1] == READY || entry[2] == READY)
#else
#define is_ready (entry[0] == READY || entry[1] == READY)
#endif
#define first (message_at(place))
#define second (message_at(next))
#define has_second (next < ENTRIES)
#define is_due (letter[0] == WAITING || (letter[1] == WAITING && letter[0] == NONE))

proctype Replica(byte me) {
    byte place, next, result, error, m, seen;
    bool undone;

    {
idle:
        do
        :: atomic { owner == me && !attached[me] && !lost[me] -> attached[me] = true }
        :: atomic { attached[me] && (owner != me || lost[me]) -> give_back(me); lost[me] = false }
        :: atomic { !attached[me] && lost[me] -> lost[me] = false }
        :: atomic { attached[me] && (consumer == me || consumer == 0) && is_ready ->
            consumer = me; deliver(); goto together }
        :: atomic { owner == me && is_due -> goto letters }
        od;

together:
        atomic {
            if
            :: owner != me -> goto slot_lost
            :: owner == me && refusals > 0 -> refusals--; goto first_alone   /* a handler: all undone */
            :: owner == me ->
                commit();
                take_one(first);
                if
                :: has_second -> take_one(second)
                :: else
                fi;
                if
                :: result == DONE -> goto handled
                :: result == STORAGE -> result = 0; undone = false; goto together
                :: result == STORAGE -> result = 0; undone = false; goto first_alone  /* once too often */
                fi
            fi
        }

first_alone:
        atomic {
            if
            :: owner != me -> goto slot_lost
            :: owner == me ->
                alone(first);
                if
                :: result == DONE && has_second -> goto second_alone
                :: result == DONE && !has_second -> goto handled
                :: result == STORAGE -> goto together
                :: result == STORAGE -> result = FAILED
                :: else
                fi
            fi
        }
        atomic {
            if
            :: owner != me -> goto slot_lost
            :: owner == me ->
                conclude(first);
                if
                :: result == DONE && has_second -> goto second_alone
                :: result == DONE && !has_second -> goto handled
                :: else -> goto together
                fi
            fi
        }

second_alone:
        atomic {
            if
            :: owner != me -> goto slot_lost
            :: owner == me ->
                alone(second);
                if
                :: result == DONE -> goto handled
                :: result == STORAGE -> goto together
                :: result == STORAGE -> result = FAILED
                :: else
                fi
            fi
        }
        atomic {
            if
            :: owner != me -> goto slot_lost
            :: owner == me ->
                conclude(second);
                if
                :: result == DONE -> goto handled
                :: else -> goto together
                fi
            fi
        }

handled:
        if
        :: atomic { true -> acknowledge(); goto forget }
        :: atomic { consumer == me -> consumer = 0 }         /* it takes more ahead from now on */
        fi;
        atomic { acknowledge(); goto forget }

slot_lost:
        atomic { give_back(me); lost[me] = false }
forget:
        atomic { place = 0; next = 0; result = 0; undone = false; goto idle }

letters:
        atomic {
            result = DONE;
            m = (holds(0) -> 0 : 1);
            seen = version[m];
            if
            :: owner != me || letter[m] != WAITING -> goto put_off
            :: owner == me && letter[m] == WAITING ->
                if
                :: commit();
                    if
                    :: undone
                    :: else -> letter[m] = NONE; handle(m)
                    fi;
                    if
                    :: result == DONE -> goto put_off
                    :: result == STORAGE -> goto put_off     /* it is away still */
                    :: result == STORAGE -> result = FAILED
                    fi
                :: refusals > 0 -> refusals--;
                    if
                    :: result = NOT_YET
                    :: result = REJECTED
                    :: result = FAILED
                    fi
                fi
            fi
        }
        atomic {
            if
#ifdef OLD_K4
            :: false
#elif defined(PARTITION_ONLY)
            :: owner != me
#elif defined(LOOK_ONLY)
            :: letter[m] != WAITING || version[m] != seen
#else
            :: owner != me || letter[m] != WAITING || version[m] != seen
#endif
            :: else ->
                if
                :: result == REJECTED -> letter[m] = NONE; settle(m)   /* nothing deleted is no error */
                :: result != REJECTED && letter[m] == NONE
                :: result != REJECTED && letter[m] != NONE -> version[m]++; letter[m] = WAITING
                :: result == FAILED && letter[m] != NONE -> version[m]++; letter[m] = STUCK
                fi
            fi
        }
put_off:
        atomic { m = 0; seen = 0; goto forget }
    } unless {
        atomic { kill[me] -> kill[me] = false; m = 0; seen = 0; error = 0; goto forget }
    }
}

inline is_mine_no_more(who) {
    if
    :: attached[who] -> lost[who] = true
    :: else
    fi
}

#define is_done(m) (receipt[m] && settled[m] && letter[m] == NONE)

init {
    byte who;
    atomic { run Replica(1); run Replica(2) }
    do
    :: atomic { owner == 0 -> owner = 1 }
    :: atomic { owner == 0 -> owner = 2 }
    :: atomic { owner != 0 && faults > 0 ->                   /* a lease ends, and changes hands */
        faults--; is_mine_no_more(owner); owner = 3 - owner }
    :: atomic { attached[1] && faults > 0 -> faults--; give_back(1) }      /* a connection breaks */
    :: atomic { attached[2] && faults > 0 -> faults--; give_back(2) }
    :: atomic { faults > 0 ->                                 /* a process is killed */
        faults--;
        if
        :: who = 1
        :: who = 2
        fi;
        give_back(who);
        lost[who] = false;
        kill[who] = true;
        if
        :: owner == who -> owner = 0
        :: else
        fi;
        who = 0 }
    :: atomic { letter[0] == STUCK -> letter[0] = WAITING }   /* an operator's word */
    :: atomic { letter[1] == STUCK -> letter[1] = WAITING }
    :: timeout -> break                                       /* nothing moves any more */
    od;
    assert(is_done(0) && is_done(1));                         /* nothing lost */
    assert(entry[0] == GONE && entry[1] == GONE && entry[ENTRIES - 1] == GONE)
}
