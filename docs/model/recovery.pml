/* Recovery: a queue is lost, its publisher is asked for what it held, and sends it again.
 *
 * One publisher with events m0, m1, m2 about one key, relayed by one replica or another; one
 * receiver, of which two replicas may serve the slot. Whoever serves it and finds no queue notes a
 * gap with a marker, asks for what was lost, and declares the queue anew. The relay answers with the
 * marker and all that it has published. The queue may be lost again at any time. Between two steps a
 * process may stand still for any time: then its lease may end, its connection may break, or it may
 * be killed.
 *
 *   OLD_K3       what is sent again is not marked, and what is left out is not remembered
 *   NO_ORDER     a remembered message is wanted only with the very marker that it is remembered with
 *   NO_LOCK      two relays may publish at once, one of them past its lease
 */

#ifndef LOSSES
#define LOSSES 1     /* of the queue */
#endif
#ifndef FAULTS
#define FAULTS 1     /* leases that end, connections that break, answers that are lost, kills */
#endif
#ifndef EVENTS
#define EVENTS 3
#endif
#define BATCH 2      /* of the relay, and of a listener */
#ifndef ROOM
#define ROOM 6       /* for messages in the queue: beyond, the relay waits until there is some */
#endif

/* a message: its number (EVENTS: a marker), the marker it carries, whether it comes again */
#define MARKER EVENTS
#define AGAIN 16
#define message(number, marker) ((number) + 4 * (marker))
#define number_of(m) ((m) & 3)
#define marker_of(m) (((m) >> 2) & 3)

/* the publisher's database */
#ifndef WRITTEN
#define WRITTEN 2
#endif
byte written = WRITTEN;
byte sent;           /* so many are marked, from the first on */
byte relay = 1;      /* whose the lease is */
byte requests;       /* so many have arrived; the first of them has marker 1 */
byte answered;       /* so many are done */
byte cursor;
byte last;

/* the receiver's database */
byte owner = 1;      /* whose the slot is */
byte markers;        /* so many were made, each for a gap and its request */
byte gap;            /* the marker that is waited for */
byte stray[EVENTS];  /* the marker that a message was left out for */
byte handled;        /* the inbox: so many, in order */

/* the broker */
bool there = true;
byte queue[ROOM];
byte length;
byte lock;
bool connected[3];   /* the relays */
bool attached[3];    /* the receivers */
byte consumer;       /* the one that is given messages */
byte in_hand[3];     /* so many a receiver has in hand that came over its present connection */

/* the processes */
bool doubts[3];      /* a receiver thinks that there may be a gap */
bool lost[3];        /* the slot was another's since this one began to serve it */
bool kill_relay[3], kill_reader[3], kill_listener[3];
byte losses = LOSSES;
byte faults = FAULTS;

inline enqueue(m) {
    queue[length] = m;
    length++
}

inline detach(who) {
    if
    :: consumer == who ->                           /* all that it had in hand comes again, first */
        k = 0;
        do
        :: k < in_hand[who] -> queue[k] = queue[k] | AGAIN; k++
        :: else -> break
        od;
        k = 0
    :: else
    fi;
    attached[who] = false;
    in_hand[who] = 0;
    if
    :: consumer == who -> consumer = 0
    :: else
    fi
}

inline disconnect(who) {
    connected[who] = false;
    if
    :: lock == who -> lock = 0
    :: else
    fi
}

#ifdef NO_LOCK
#define may_publish true
#else
#define may_publish connected[me]
#endif

proctype Relay(byte me) {
    byte from, upto, request, goal;
    {
idle:
        do
        :: atomic { relay == 0 -> relay = me }
        :: atomic { relay != me && connected[me] -> disconnect(me) }
        :: atomic { relay == me && (requests > answered || sent < written) -> goto claim }
        od;
claim:
#ifndef NO_LOCK
        if
        :: connected[me]
        :: atomic { !connected[me] && lock == 0 -> lock = me; connected[me] = true }
        :: atomic { !connected[me] && lock != 0 -> goto idle }
        fi;
#endif
read:
        atomic {                                    /* what was asked for goes before what is unsent */
            if
            :: requests > answered ->
                request = answered + 1; from = cursor; goal = last;
                if
                :: cursor > 0 -> goto page
                :: else -> goto begin
                fi
            :: requests == answered ->
                from = sent;
                upto = (written < from + BATCH -> written : from + BATCH)
            fi
        }
        do
        :: atomic { from < upto && may_publish && (length < ROOM || !there) ->
            if
            :: there -> enqueue(message(from, 0))
            :: else                                 /* nobody listens: confirmed, and dropped */
            fi;
            from++ }
        :: atomic { from < upto && !may_publish -> goto forget }
        :: from == upto -> break
        od;
        atomic {
            if
            :: sent < upto -> sent = upto
            :: else
            fi;
            goto forget
        }
begin:
        atomic { last = written; goal = written }   /* fixed how far it goes, just before its marker */
        if
        :: atomic { may_publish && there && length < ROOM ->
            enqueue(message(MARKER, request)) }
        :: atomic { !may_publish || !there -> goto forget }        /* it comes back as unroutable */
        fi;
page:
        atomic { upto = (goal < from + BATCH -> goal : from + BATCH) }
        do
        :: atomic { from < upto && may_publish && there && length < ROOM ->
#ifdef OLD_K3
            enqueue(message(from, 0));
#else
            enqueue(message(from, request));
#endif
            from++ }
        :: atomic { from < upto && (!may_publish || !there) -> goto forget }
        :: from == upto -> break
        od;
        atomic {                                    /* how far it got */
            if
            :: answered >= request                  /* another relay was faster */
            :: answered < request && upto >= goal -> answered = request; cursor = 0
            :: answered < request && upto < goal -> cursor = upto
            fi;
            from = 0; upto = 0; request = 0; goal = 0;
            goto read
        }
forget:
        atomic { from = 0; upto = 0; request = 0; goal = 0; goto idle }
    } unless {
        atomic { kill_relay[me] -> kill_relay[me] = false; from = 0; upto = 0; request = 0; goal = 0;
            goto idle }
    }
}

/* Connects to the queue, and finds that there is none. */
proctype Reader(byte me) {
    byte k;
    {
idle:
        do
        :: atomic { lost[me] -> lost[me] = false; detach(me) }
        :: atomic { attached[me] && owner != me -> detach(me) }
        :: atomic { owner == me && !attached[me] && !lost[me] && there ->
            attached[me] = true; doubts[me] = true }
        :: atomic { owner == me && !attached[me] && !lost[me] && !there -> goto missing }
        od;
missing:
        atomic {
            if
            :: owner != me -> goto idle
            :: owner == me -> markers++; gap = markers; doubts[me] = true
            fi
        }
        atomic { there = true; goto idle }
    } unless {
        atomic { kill_reader[me] -> kill_reader[me] = false; goto idle }
    }
}

/* Leave out what comes again: judged by the gap, and by what was left out before. */
inline sort_out(m, wanted) {
    if
    :: number_of(m) == MARKER ->
        wanted = false;
        if
        :: gap == marker_of(m) -> gap = 0
        :: else
        fi
    :: number_of(m) != MARKER && gap != 0 ->
        wanted = false;
        stray[number_of(m)] = gap
    :: number_of(m) != MARKER && gap == 0 ->
#ifdef OLD_K3
        wanted = true
#elif defined(NO_ORDER)
        wanted = (stray[number_of(m)] == 0 || marker_of(m) == stray[number_of(m)])
#else
        wanted = (marker_of(m) >= stray[number_of(m)])
#endif
    fi
}

inline handle(m) {
    if
    :: number_of(m) < handled                       /* its receipt is there */
    :: else -> assert(number_of(m) == handled); handled++          /* in order */
    fi
}

#define may_be_astray(m) (number_of(m) == MARKER || (m & AGAIN))

proctype Listener(byte me) {
    byte k, first, second;
    bool more, want_first, want_second;
    {
        skip;
idle:
        atomic { attached[me] && (consumer == me || consumer == 0) && length > 0 ->
            consumer = me;
            in_hand[me] = (length > 1 -> 2 : 1);
            first = queue[0];
            if
            :: length > 1 -> more = true; second = queue[1]
            :: more = false; in_hand[me] = 1
            fi
        }
sorting:
        atomic {
            if
            :: !doubts[me] && !may_be_astray(first) && !(more && may_be_astray(second)) ->
                want_first = true; want_second = more
            :: else ->
                if
                :: owner != me -> goto slot_lost
                :: owner == me ->
                    sort_out(first, want_first);
                    if
                    :: more -> sort_out(second, want_second)
                    :: else
                    fi;
                    doubts[me] = (gap != 0);
                    if
                    :: skip
                    :: faults > 0 -> faults--; doubts[me] = true; goto sorting   /* unanswered */
                    fi
                fi
            fi
        }
        if
        :: atomic { owner != me && (want_first || want_second) -> goto slot_lost }
        :: atomic { owner == me || !(want_first || want_second) ->
            if
            :: want_first -> handle(first)
            :: else
            fi;
            if
            :: want_second -> handle(second)
            :: else
            fi }
        fi;
        atomic {                                    /* acknowledged, if it is the same connection */
            if
            :: in_hand[me] > 0 ->
                k = 0;
                length = length - 1 - more;
                do
                :: k < length -> queue[k] = queue[k + 1 + more]; k++
                :: else -> break
                od;
                do
                :: k < length + 1 + more -> queue[k] = 0; k++
                :: else -> break
                od
            :: else
            fi;
            in_hand[me] = 0;
            goto forget
        }
slot_lost:
        atomic { detach(me) }
forget:
        atomic { k = 0; first = 0; second = 0; more = false; want_first = false;
            want_second = false; goto idle }
    } unless {
        atomic { kill_listener[me] -> kill_listener[me] = false; goto forget }
    }
}

inline is_his_no_more(who) {
    if
    :: attached[who] -> lost[who] = true
    :: else
    fi
}

init {
    byte k, who;
    atomic {
        run Relay(1); run Reader(1); run Listener(1);
#ifdef TWO_RECEIVERS
        run Reader(2); run Listener(2);
#endif
#ifdef TWO_RELAYS
        run Relay(2)
#endif
    }
    do
    :: written < EVENTS -> written++
    :: requests < markers -> requests++             /* the command that asks arrives */
    :: atomic { there && losses > 0 ->              /* the queue is lost, with all consumers */
        losses--;
        there = false;
        do
        :: length > 0 -> length--; queue[length] = 0
        :: else -> break
        od;
        in_hand[1] = 0; in_hand[2] = 0;
        detach(1); detach(2) }
    :: atomic { owner == 0 -> owner = 1 }
#ifdef TWO_RECEIVERS
    :: atomic { owner == 0 -> owner = 2 }
    :: atomic { owner != 0 && faults > 0 -> faults--; is_his_no_more(owner); owner = 3 - owner }
    :: atomic { attached[2] && faults > 0 -> faults--; detach(2) }
#endif
    :: atomic { attached[1] && faults > 0 -> faults--; detach(1) }          /* a connection breaks */
    :: atomic { connected[1] && faults > 0 -> faults--; disconnect(1) }
    :: atomic { faults > 0 ->                                               /* a receiver is killed */
        faults--;
        if
        :: who = 1
#ifdef TWO_RECEIVERS
        :: who = 2
#endif
        fi;
        detach(who);
        lost[who] = false;
        kill_reader[who] = true;
        kill_listener[who] = true;
        if
        :: owner == who -> owner = 0
        :: else
        fi;
        who = 0 }
    :: atomic { faults > 0 ->                                               /* a relay is killed */
        faults--; disconnect(1); kill_relay[1] = true;
        if
        :: relay == 1 -> relay = 0
        :: else
        fi }
#ifdef TWO_RELAYS
    :: atomic { relay != 0 && faults > 0 -> faults--; relay = 3 - relay }
    :: atomic { connected[2] && faults > 0 -> faults--; disconnect(2) }
#endif
    :: timeout -> break
    od;
    assert(written == EVENTS && sent == EVENTS && answered == markers);
    assert(gap == 0 && length == 0);
    assert(handled == EVENTS)                                               /* nothing lost */
}
