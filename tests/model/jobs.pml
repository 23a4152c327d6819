/* One job's life across node, queue, workers and destination, as store/jobs.py, store/deliveries.py
   and dispatch.py have it. Each mutant (-D...) leaves one rule out, and must be refuted.

   Where a rule stands in the code:
     claim        JobLedger.claim: one conditional update; token and attempts are counted there
     early ack    doorbell.celery_app: task_acks_late=False, a message is gone once it is taken
     dispatcher   Dispatcher.tick: lost leases are queued, spent jobs fail, the rest is rung for
     write-once   JobLedger.finish: results and the next state in one transaction, under the token
     send         DeliveryLedger.begin, end: "sent" is written before the first byte leaves, and
                  what a restart finds as "sent" is sent again, the same bytes
   The worker that claims when attempts > MAXATT only reports; its report is a result like others. */
#ifndef W
#define W 2
#endif
#define MAXATT 3        /* one claim more than these makes the failure report */
#define CRASHES 2
#define FLUSHES 1
#define COPIES 2
#define EXPIRE 2
#define DEATHS 2        /* of the node while it sends */
mtype = { QUEUED, ANALYSING, ANALYSED, DELIVERED, FAILED };
mtype = { NONE, WAITING, SENT, UNKNOWN, ACCEPTED };
mtype st = QUEUED, dl = NONE;
byte token = 0, attempts = 0, art = 0, q = 0, pacs = 0;
bool pacs_differs = false, expired = false, outage = true;
byte crashes = 0, flushes = 0, copies = 0, expiries = 0, deaths = 0;

#define OVER (st == DELIVERED || st == FAILED)
#define HAS_ATTEMPTS (attempts <= MAXATT)
#ifdef NO_RETAKE
#define OPEN (st == QUEUED && HAS_ATTEMPTS)
#else
#define OPEN ((st == QUEUED || (st == ANALYSING && expired)) && HAS_ATTEMPTS)
#endif
#ifdef NO_TOKEN
#define HOLDS (st == ANALYSING || st == QUEUED || st == ANALYSED)
#else
#define HOLDS (token == my && st == ANALYSING)
#endif

inline take(bytes) {       /* the destination stores what it has not, and compares what it has */
  if
  :: pacs == 0 -> pacs = bytes
  :: pacs != 0 && pacs != bytes -> pacs_differs = true
  :: else
  fi
}

inline may_crash() {       /* the worker dies; its host's dispatcher finds that the owner is dead */
  if
  :: atomic { crashes < CRASHES -> crashes++;
       expired = (token == my && st == ANALYSING -> true : expired); goto idle }
  :: skip
  fi
}

active proctype dispatcher() {
  do
#ifndef NO_SWEEP
  :: atomic { OPEN && q == 0 -> q = 1 }                            /* rung again: none was left */
#else
  :: atomic { OPEN && q == 0 && token == 0 && flushes == 0 -> q = 1 }
#endif
#ifndef NO_RETAKE
  :: atomic { st == ANALYSING && expired -> st = QUEUED; expired = false }
#endif
  :: atomic { st == QUEUED && !HAS_ATTEMPTS -> st = FAILED }
  :: OVER -> break
  od
}

active proctype chaos() {
  do
  :: atomic { flushes < FLUSHES && q > 0 -> flushes++; q = 0 }     /* the queue loses everything */
  :: atomic { copies < COPIES && q > 0 -> copies++; q++ }          /* a message comes twice */
  :: atomic { expiries < EXPIRE && st == ANALYSING && !expired -> expiries++; expired = true }
  :: outage -> outage = false
  :: OVER -> break
  od
}

active [W] proctype worker() {
  byte my, c;
idle:
  do
  :: OVER -> break
  :: atomic { q > 0 -> q-- };                                      /* early acknowledgement */
     atomic {
       if
       :: OPEN -> token++; my = token; attempts++; st = ANALYSING; expired = false
       :: else -> goto idle
       fi };
     may_crash();
     c = my;                                        /* each attempt gives other bytes */
#ifdef SEND_FIRST
     if
     :: !outage -> atomic { take(c) }
     :: outage
     fi;
     may_crash();
#endif
     atomic {
       if
#ifdef NOT_ONCE
       :: HOLDS -> art = c; st = ANALYSED; expired = false; dl = (dl == NONE -> WAITING : dl)
#else
       :: HOLDS && art == 0 -> art = c; st = ANALYSED; expired = false; dl = WAITING
#endif
       :: else                                      /* LeaseLost: nothing is written */
       fi };
     my = 0; c = 0
  od
}

active proctype deliverer() {
  byte bytes;
again:
  do
  :: OVER -> break
  :: (st == ANALYSED && dl != NONE && dl != ACCEPTED) ->
     atomic { bytes = art; dl = SENT };             /* begin: before the first byte leaves */
     if
     :: outage -> atomic { dl = WAITING; goto again }
     :: !outage -> atomic { take(bytes) }
     fi;
     if
     :: atomic { deaths < DEATHS -> deaths++; goto again }          /* it is left as SENT */
     :: atomic { deaths < DEATHS -> deaths++; dl = UNKNOWN; goto again }   /* stored, no answer */
     :: dl = ACCEPTED
     fi;
     atomic { dl == ACCEPTED && st == ANALYSED -> st = DELIVERED }
  od
}

ltl once  { [] !pacs_differs }
ltl sound { [] (st == DELIVERED -> (pacs != 0 && pacs == art)) }
ltl live  { <> OVER }
