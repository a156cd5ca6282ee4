package proxycache

import (
	"time"

	"walpurge/internal/coherence"
	"walpurge/internal/problem"
	"walpurge/internal/proxycache/outcome"
	"walpurge/internal/proxycache/store"
	"walpurge/internal/rfc9111"
)

// way is the next step of a request.
type way uint8

const (
	answered     way = iota // there is none
	toLookUp                // in the tiers, then at the origin with a fill
	toRead                  // the content first, which is a part of the key
	toPass                  // to the origin
	toCopy                  // to the origin, keeping what comes if others may have it
	toUpgrade               // to the origin, for another protocol
	toFeed                  // answered here: what pages listen to
	toAnswerHere            // for the request may go no further
	toReply                 // with a response that is stored, or there as a whole
	toRefuse                // with a problem document
)

// verdict is what becomes of a request. Who makes one does nothing of it: act
// does.
type verdict struct {
	way     way
	outcome outcome.Outcome // how the request ends, unless something goes wrong
	cs      rfc9111.CacheStatus

	// of a reply
	entry   *store.Entry
	at      coherence.Nanos // when that was found
	again   bool            // a new response is fetched for those who come later
	key     string          // under which entry lies, where again is set
	audited bool            // the hit may be compared with the origin

	// of what goes to the origin
	turns   bool         // it takes turns with the fills
	lenient bool         // a stored response may stand in for an origin that fails
	stale   *store.Entry // what may stand in for an error, and what the answer to a HEAD request may update

	// of a refusal
	status int
	words  string // a sentence for people
}

// passed sends a request to the origin whose response nobody stores.
func passed(why rfc9111.Forward, detail outcome.Reason) verdict {
	return verdict{way: toPass, outcome: outcome.Pass, cs: rfc9111.CacheStatus{Fwd: why, Detail: detail}}
}

// refused answers with a problem document.
func refused(status int, o outcome.Outcome, cs rfc9111.CacheStatus, words string) verdict {
	return verdict{way: toRefuse, outcome: o, cs: cs, status: status, words: words}
}

// fromCache answers with what is stored.
func fromCache(o outcome.Outcome, e *store.Entry, now coherence.Nanos, detail outcome.Reason) verdict {
	return verdict{way: toReply, outcome: o, cs: rfc9111.CacheStatus{Hit: true, TTL: e.TTLAt(now), Detail: detail}, entry: e, at: now}
}

// act does what a verdict says, and what comes of that, until the request is
// answered.
func (x *exchange) act(v verdict) {
	for v.way != answered {
		switch v.way {
		case toLookUp:
			v = x.lookup()
		case toRead:
			v = x.readContent()
		case toPass:
			v = x.pass(&v, nil)
		case toCopy:
			v = x.passAndCopy(&v)
		case toUpgrade:
			v = x.upgrade(&v)
		case toFeed:
			v = x.serveFeed()
		case toAnswerHere:
			v = x.answerHere()
		case toReply:
			v = x.reply(&v)
		case toRefuse:
			v = x.refuse(&v)
		}
	}
}

// reply sends what is stored.
func (x *exchange) reply(v *verdict) verdict {
	if v.again {
		x.refresh(v.entry, v.key)
	}
	x.p.sendEntry(x.Exchange, v.entry, v.at, v.cs)
	x.done(v.outcome, v.cs.Detail)
	if v.audited && v.entry.Guarded && x.p.audit.Picks() {
		x.sample(v.entry)
	}
	return verdict{}
}

// refuse answers with a problem document.
func (x *exchange) refuse(v *verdict) verdict {
	body := problem.Document(v.status, v.words)
	_ = x.Send(problem.AppendHead(x.Buffer(), v.status, v.cs.String(), len(body), time.Now()), body)
	x.done(v.outcome, v.cs.Detail)
	return verdict{}
}

// cutOff ends an exchange whose client is gone.
func (x *exchange) cutOff() verdict {
	x.Abort()
	x.done(outcome.Fault, outcome.ClientGone)
	return verdict{}
}
