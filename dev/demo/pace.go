package main

import (
	"context"
	"math/rand/v2"
	"time"
)

// pace says when something is due that happens perSecond times a second on average, at random instants (D2).
type pace struct {
	gap    time.Duration // on average
	next   time.Time
	random *rand.Rand
	timer  *time.Timer
}

// maxArrears bounds what is made up for: after a stall of the whole machine the past is let go.
const maxArrears = time.Second

func newPace(perSecond float64, random *rand.Rand) *pace {
	timer := time.NewTimer(0)
	timer.Stop()
	return &pace{
		gap:  time.Duration(float64(time.Second) / perSecond),
		next: time.Now(), random: random, timer: timer,
	}
}

// wait returns true when the next one is due and false when ctx has ended.
func (p *pace) wait(ctx context.Context) bool {
	p.next = p.next.Add(time.Duration(p.random.ExpFloat64() * float64(p.gap)))
	until := time.Until(p.next)
	if until < -maxArrears {
		p.next = time.Now()
	}
	if until <= 0 {
		return ctx.Err() == nil
	}
	p.timer.Reset(until)
	select {
	case <-p.timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
