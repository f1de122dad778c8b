/* Sending: the outbox, its relay, the broker's confirms, the marks; and a change of the slots.
 *
 * Two replicas may relay the outbox of one service, whose events m0, m1, m2 are about one key. What
 * a relay sends lies in its socket until the broker reads it. `bihuan partitions` runs once to its end
 * meanwhile: it takes the queue away and makes another, to which only what is stamped with the new
 * number goes. The receiver handles what is next or knows it. Between two steps a process may stand
 * still for any time: then its lease may end, its connection may break, or it may be killed.
 *
 *   OLD_K2       no lock: a connection is made when there is something to send, and the command
 *                judges by the leases whether a relay has stopped
 *   OLD_HAND     the command does not look whether somebody still consumes what it takes away
 *   LATE_LOCK    the lock is taken only after the outbox has been read, and nothing asked then
 *   NO_CHANGE    no command runs
 */

#ifndef FAULTS
#define FAULTS 2     /* leases that end, connections that break, kills */
#endif
#define EVENTS 3
#define BATCH 2
#define ROOM 6       /* for messages in the queue: beyond, the broker reads on when there is some */

/* what is paused */
#define NOTHING 0
#define RELAYS 1
#define ALL 2
#define NO_QUEUE 2
#define COMMAND 3    /* who holds the lock, apart from relays 1 and 2 */

/* the publisher's database */
byte written = 2;
bool sent[EVENTS];
byte relay;          /* whose the relay's lease is; 0: nobody's */
byte paused;
bit agreed;          /* the old number of slots, or the new one */

/* the broker */
byte lock;
bool connected[4];   /* the relays', the command's; what is in a socket goes with it */
chan socket1 = [BATCH] of { byte, bit };
chan socket2 = [BATCH] of { byte, bit };
byte confirmed[3];
byte there;          /* the number whose queue is there */
chan queue = [ROOM] of { byte };
bool in_hand;        /* its first message is delivered and not acknowledged */
bool consumed;       /* the receiver's connection */

/* the processes */
bit stamps[3];       /* for how many slots a relay stamps */
bool kill[3];
bool is_changed;
bool is_served = true;   /* the receiver holds its slot */
byte handled;            /* the receiver's inbox: so many, in order */
byte faults = FAULTS;

inline disconnect(who) {
    connected[who] = false;
    if
    :: lock == who -> lock = 0
    :: else
    fi;
    do
    :: who == 1 && len(socket1) > 0 -> socket1?_, _
    :: who == 2 && len(socket2) > 0 -> socket2?_, _
    :: else -> break
    od
}

inline route(socket, who) {
    socket?event, stamp;
    confirmed[who]++;
    if
    :: stamp == there -> queue!event
    :: else                                         /* nobody listens: confirmed, and dropped */
    fi
}

proctype Broker() {
    byte event;
    bit stamp;
    do
    :: atomic { len(socket1) > 0 && len(queue) < ROOM -> route(socket1, 1); event = 0; stamp = 0 }
    :: atomic { len(socket2) > 0 && len(queue) < ROOM -> route(socket2, 2); event = 0; stamp = 0 }
    od
}

inline first_unsent() {
    from = 0;
    do
    :: from < EVENTS && sent[from] -> from++
    :: else -> break
    od
}

inline put(event) {
    if
    :: me == 1 -> socket1!event, stamps[1]
    :: me == 2 -> socket2!event, stamps[2]
    fi
}

#define has_unsent ((written > 0 && !sent[0]) || (written > 1 && !sent[1]) || (written > 2 && !sent[2]))

proctype Relay(byte me) {
    byte from, upto;
    {
idle:
        do
        :: atomic { relay == 0 && !paused -> relay = me; stamps[me] = agreed }   /* a tick */
        :: atomic { relay == me && paused -> relay = 0 }
#ifndef OLD_K2
        :: atomic { relay != me && connected[me] -> disconnect(me) }             /* it stands back */
#endif
        :: atomic { relay == me && has_unsent -> goto claim }
        od;
claim:
#if !defined(OLD_K2) && !defined(LATE_LOCK)
        if
        :: connected[me]
        :: atomic { !connected[me] && lock == 0 -> lock = me; connected[me] = true }
            if
            :: stamps[me] == agreed && !paused
            :: atomic { else -> disconnect(me); goto idle }
            fi
        :: atomic { !connected[me] && lock != 0 && lock != me -> goto idle }
        fi;
#endif
        atomic {
            first_unsent();
            upto = from;
            do
            :: upto < written && upto < from + BATCH && !sent[upto] -> upto++
            :: else -> break
            od;
            if
            :: from == upto -> from = 0; upto = 0; goto idle
            :: else
            fi
        }
#ifdef OLD_K2
        atomic { connected[me] = true; confirmed[me] = 0; put(from) }
#elif defined(LATE_LOCK)
        if
        :: atomic { connected[me] -> confirmed[me] = 0; put(from) }
        :: atomic { !connected[me] && lock == 0 -> lock = me; connected[me] = true;
            confirmed[me] = 0; put(from) }
        :: atomic { !connected[me] && lock != 0 && lock != me -> from = 0; upto = 0; goto idle }
        fi;
#else
        if
        :: atomic { connected[me] -> confirmed[me] = 0; put(from) }
        :: atomic { !connected[me] -> from = 0; upto = 0; goto idle }
        fi;
#endif
        if
        :: upto == from + 1
        :: atomic { upto > from + 1 && connected[me] -> put(from + 1) }
        :: !connected[me]
        fi;
        if
        :: connected[me] && confirmed[me] == upto - from
        :: atomic { !connected[me] ->
            if
            :: upto = from
            :: confirmed[me] > 0 -> upto = from + confirmed[me]   /* as far as it has heard */
            fi }
        fi;
        atomic {
            do
            :: from < upto -> sent[from] = true; from++
            :: else -> break
            od;
            from = 0; upto = 0; confirmed[me] = 0; goto idle
        }
    } unless {
        atomic { kill[me] -> kill[me] = false; from = 0; upto = 0; goto idle }
    }
}

proctype Receiver() {
    byte event;
    do
    :: atomic { !consumed && paused != ALL && !is_served -> is_served = true }
    :: atomic { is_served && !consumed && there != NO_QUEUE -> consumed = true }
    :: atomic { consumed && is_served && !in_hand && len(queue) > 0 -> in_hand = true;
            queue?<event> }
        if
        :: atomic { is_served ->
                if
                :: event < handled                  /* a duplicate */
                :: else -> assert(event == handled); handled++   /* in order */
                fi }
            atomic {
                if
                :: in_hand && consumed -> queue?_
                :: else
                fi;
                in_hand = false; event = 0 }
        :: atomic { !is_served -> consumed = false; in_hand = false; event = 0 }
        fi
    :: atomic { (consumed || is_served) && (paused == ALL || !is_served) ->
        consumed = false; is_served = false }
    od
}

proctype Slots() {
again:
    paused = RELAYS;
#ifndef OLD_K2
    atomic { lock == 0 -> lock = COMMAND };
#endif
    relay == 0;
    len(queue) - in_hand == 0;
    paused = ALL;
    atomic { relay == 0 && !is_served };
#ifndef OLD_HAND
    len(queue) - in_hand > 0 || !consumed;
#endif
    if
    :: len(queue) - in_hand > 0 -> goto unlock
    :: else
    fi;
    atomic {                                        /* each queue is looked at once more */
        if
#ifdef OLD_HAND
        :: len(queue) - in_hand > 0 -> goto unlock
#else
        :: len(queue) - in_hand > 0 || consumed -> goto unlock
#endif
        :: else
        fi;
#ifdef OLD_HAND
        do
        :: len(queue) > 0 -> queue?_
        :: len(queue) == 0 -> break
        od;
#else
        assert(len(queue) == 0);                    /* nothing goes with it */
#endif
        there = NO_QUEUE; consumed = false; in_hand = false }
    there = 1;
    agreed = 1;
    paused = NOTHING;
    is_changed = true;
unlock:
#ifndef OLD_K2
    lock = 0;
#endif
    if
    :: is_changed
    :: else -> goto again
    fi
}

init {
    byte who;
    atomic {
        run Relay(1); run Relay(2); run Broker(); run Receiver();
#ifndef NO_CHANGE
        run Slots()
#else
        is_changed = true
#endif
    }
    do
    :: written < EVENTS -> written++
    :: atomic { relay != 0 && faults > 0 -> faults--; relay = 0 }           /* a lease ends */
    :: atomic { is_served && faults > 0 -> faults--; is_served = false }
    :: atomic { connected[1] && faults > 0 -> faults--; disconnect(1) }     /* a connection breaks */
    :: atomic { connected[2] && faults > 0 -> faults--; disconnect(2) }
    :: atomic { consumed && faults > 0 -> faults--; consumed = false; in_hand = false }
    :: atomic { faults > 0 ->                                               /* a process is killed */
        faults--;
        if
        :: who = 1
        :: who = 2
        fi;
        disconnect(who);
        kill[who] = true;
        if
        :: relay == who -> relay = 0
        :: else
        fi;
        who = 0 }
    :: timeout -> break
    od;
    assert(is_changed);                                                     /* the command has ended */
    assert(written == EVENTS && sent[0] && sent[1] && sent[2]);
    assert(handled == EVENTS && len(queue) == 0)                            /* nothing lost */
}
