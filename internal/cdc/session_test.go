package cdc

import (
	"context"
	"slices"
	"strconv"
	"testing"

	"walpurge/dev/testbed"
	"walpurge/internal/coherence"
)

const rooms = `CREATE TABLE rooms (id int PRIMARY KEY, note text, city text, price numeric)`

// confirmed is where the rig's slot stands.
func (r *rig) confirmed() coherence.LSN {
	r.t.Helper()
	lsn, err := coherence.ParseLSN(r.text("SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = '" + r.listener.Status().Slot + "'"))
	if err != nil {
		r.t.Fatal(err)
	}
	return lsn
}

// proven waits for a proof of freshness that is asked for from now on.
func (r *rig) proven() {
	r.t.Helper()
	now := r.cfg.Now()
	eventually(r.t, "a proof of freshness", func() bool { return r.guard.Proven() > now })
}

// expectEpochs compares the reasons of all epochs so far.
func (r *rig) expectEpochs(want ...string) {
	r.t.Helper()
	eventually(r.t, "the last epoch", func() bool { return len(r.epochs()) >= len(want) })
	if got := r.epochs(); !slices.Equal(got, want) {
		r.t.Errorf("epochs %q, want %q", got, want)
	}
}

// cutOff terminates the walsender.
func (r *rig) cutOff() {
	r.t.Helper()
	r.exec("SELECT pg_terminate_backend(active_pid, 10000) FROM pg_replication_slots WHERE slot_name = '" + r.cfg.Slot + "' AND active")
}

func TestHeldCommitStaysPending(t *testing.T) {
	p := testbed.NewPostgres(t, nil)
	url := p.URL("postgres")
	newClient(t, url).exec(rooms, `INSERT INTO rooms VALUES (1)`)
	r := listen(t, config(t, url, watchRooms()))
	r.caughtUp()
	if err := p.Set(t.Context(), "synchronous_standby_names", "nobody"); err != nil {
		t.Fatal(err)
	}
	before := r.guard.Watermark()
	writer := newClient(t, url)
	released := make(chan error, 1)
	go func() {
		_, err := writer.conn.Exec(context.Background(), "UPDATE rooms SET price = 5")
		released <- err
	}()
	eventually(t, "the commit is decoded", func() bool { return len(r.lines()) == 1 })
	held := r.guard.Applied()
	r.proven()
	if got := r.text("SELECT price FROM rooms"); got != "" {
		t.Fatalf("the row reads %q although its commit is held", got)
	}
	if n := r.guard.Pending(); n != 1 {
		t.Errorf("%d transactions are pending", n)
	}
	if w := r.guard.Watermark(); w < before || w >= held {
		t.Errorf("the watermark is %s, with the commit before %s", w, held)
	}
	// Others go on: what is applied rises, what is acknowledged doesn't.
	r.exec("SET synchronous_commit = local; INSERT INTO rooms VALUES (2)")
	eventually(t, "another commit is applied", func() bool { return r.guard.Applied() > held && r.guard.Pending() == 1 })
	r.proven()
	stays := r.guard.Watermark()
	eventually(t, "the slot is acknowledged up to the watermark", func() bool { return r.confirmed() == stays })
	if stays >= held {
		t.Errorf("acknowledged %s, beyond the held commit before %s", stays, held)
	}
	select {
	case err := <-released:
		t.Fatalf("the commit was not held: %v", err)
	default:
	}
	if err := p.Set(t.Context(), "synchronous_standby_names", ""); err != nil {
		t.Fatal(err)
	}
	if err := <-released; err != nil {
		t.Fatal(err)
	}
	r.caughtUp()
	r.expectEpochs("start")
}

// A commit that is held while the proxy restarts must come again.
func TestHeldCommitSurvivesARestart(t *testing.T) {
	p := testbed.NewPostgres(t, nil)
	url := p.URL("postgres")
	newClient(t, url).exec(rooms, `INSERT INTO rooms VALUES (1)`)
	cfg := config(t, url, watchRooms())
	first := listen(t, cfg)
	first.caughtUp()
	if err := p.Set(t.Context(), "synchronous_standby_names", "nobody"); err != nil {
		t.Fatal(err)
	}
	writer := newClient(t, url)
	released := make(chan error, 1)
	go func() {
		_, err := writer.conn.Exec(context.Background(), "UPDATE rooms SET price = 5")
		released <- err
	}()
	eventually(t, "the commit is decoded", func() bool { return len(first.lines()) == 1 })
	first.proven()
	if err := first.stop(); err != nil {
		t.Fatal(err)
	}
	second := start(t, cfg)
	// It waits for the transaction that is still open to everybody else.
	eventually(t, "the horizon holds", func() bool { return second.listener.Status().State == "waiting for open transactions" })
	if second.guard.Proven() != 0 || second.guard.Epoch() != 0 {
		t.Error("an epoch began although a commit is held")
	}
	if err := p.Set(t.Context(), "synchronous_standby_names", ""); err != nil {
		t.Fatal(err)
	}
	if err := <-released; err != nil {
		t.Fatal(err)
	}
	eventually(t, "the change comes again", func() bool { return len(second.lines()) == 1 })
	second.proven()
}

// TestShutdownDoesNotWaitForUs: a server that shuts down waits until its
// walsenders' clients have confirmed everything. What is pending can't be
// confirmed without a connection, and the server takes none any more.
func TestShutdownDoesNotWaitForUs(t *testing.T) {
	p := testbed.NewPostgres(t, nil)
	url := p.URL("postgres")
	newClient(t, url).exec(rooms, `INSERT INTO rooms VALUES (1)`)
	r := listen(t, config(t, url, watchRooms()))
	r.caughtUp()
	if err := p.Set(t.Context(), "synchronous_standby_names", "nobody"); err != nil {
		t.Fatal(err)
	}
	writer := newClient(t, url)
	ended := make(chan error, 1)
	go func() {
		_, err := writer.conn.Exec(context.Background(), "UPDATE rooms SET price = 5")
		ended <- err
	}()
	eventually(t, "the commit is decoded and pending", func() bool { return r.guard.Pending() == 1 })
	if err := p.Stop("fast"); err != nil {
		t.Fatal(err)
	}
	<-ended
}

func TestSynchronousStandbyIsRefused(t *testing.T) {
	p := testbed.NewPostgres(t, nil)
	url := p.URL("postgres")
	newClient(t, url).exec(rooms)
	r := listen(t, config(t, url, watchRooms()))
	if err := p.Set(t.Context(), "synchronous_standby_names", "*"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the stream ends", func() bool {
		s := r.listener.Status()
		return !s.Connected && s.LastError != "" && r.text("SELECT count(*) FROM pg_stat_replication") == "0"
	})
	eventually(t, "no proof is left", func() bool { return r.guard.Proven() == 0 })
	if err := p.Set(t.Context(), "synchronous_standby_names", ""); err != nil {
		t.Fatal(err)
	}
	r.proven()
	r.expect(sql("INSERT INTO rooms VALUES (1)"), "insert rooms: id=1 city=null price=null")
	r.expectEpochs("start")
}

func TestReconnectIsNoNewEpoch(t *testing.T) {
	url := testbed.Database(t)
	newClient(t, url).exec(rooms)
	r := listen(t, config(t, url, watchRooms()))
	for i := range 5 {
		id := strconv.Itoa(i)
		r.exec("INSERT INTO rooms VALUES (" + id + ")")
		r.cutOff()
		r.exec("UPDATE rooms SET city = 'x' WHERE id = " + id)
		r.caughtUp()
	}
	want := 0
	for _, line := range r.lines() {
		if line == "insert rooms: id="+strconv.Itoa(want)+" city=null price=null" {
			want++
		}
	}
	if len(r.lines()) != 10 || want != 5 {
		t.Errorf("changes are missing or come twice: %q", r.lines())
	}
	r.expectEpochs("start")
	if s := r.listener.Status(); s.Sessions < 2 || s.Failures < 1 {
		t.Errorf("the status counts %d sessions and %d failures", s.Sessions, s.Failures)
	}
}

func TestServerCrashIsNoNewEpoch(t *testing.T) {
	p := testbed.NewPostgres(t, nil)
	url := p.URL("postgres")
	newClient(t, url).exec(rooms)
	r := listen(t, config(t, url, watchRooms()))
	r.expect(sql("INSERT INTO rooms VALUES (1)"), "insert rooms: id=1 city=null price=null")
	if err := p.Stop("immediate"); err != nil {
		t.Fatal(err)
	}
	if err := p.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.client = newClient(t, url)
	r.proven()
	r.expect(sql("INSERT INTO rooms VALUES (2)"), "insert rooms: id=2 city=null price=null")
	r.expectEpochs("start")
}

func TestNothingIsProvenBeforeTheHorizon(t *testing.T) {
	url := testbed.Database(t)
	c := newClient(t, url)
	c.exec(rooms, `CREATE TABLE other (id int PRIMARY KEY)`)
	cfg := config(t, url, watchRooms())
	if _, err := Setup(t.Context(), cfg, false); err != nil {
		t.Fatal(err)
	}
	writer := newClient(t, url)
	writer.exec("BEGIN", "INSERT INTO other VALUES (1)")
	r := start(t, cfg)
	eventually(t, "it waits", func() bool { return r.listener.Status().State == "waiting for open transactions" })
	// Younger transactions make no difference.
	for i := range 30 {
		c.exec("INSERT INTO rooms VALUES (" + strconv.Itoa(i) + ")")
	}
	if r.guard.Epoch() != 0 || r.guard.Proven() != 0 {
		t.Error("the epoch began before the horizon")
	}
	writer.exec("COMMIT")
	r.proven()
	eventually(t, "what came meanwhile", func() bool { return len(r.lines()) == 30 })
}

func TestKeepaliveInsideATransactionSaysNothing(t *testing.T) {
	guard, err := coherence.New(coherence.Config{Tables: []coherence.Table{{Name: "public.a"}}})
	if err != nil {
		t.Fatal(err)
	}
	guard.Reset(1, 100)
	s := &session{l: &Listener{guard: guard, observer: deaf{}}, pace: &pace{}, decoder: newDecoder(testCatalogue(), guard.Tables(), 10)}
	s.visibility.wake = make(chan struct{}, 1)
	keepalive := func(at uint64) {
		t.Helper()
		if err := s.frame(append(big64([]byte{'k'}, at, 0), 0)); err != nil {
			t.Fatal(err)
		}
	}
	send := func(msg []byte) {
		t.Helper()
		if err := s.frame(append(big64([]byte{'w'}, 0, 0, 0), msg...)); err != nil {
			t.Fatal(err)
		}
	}
	keepalive(110)
	if got := guard.Applied(); got != 110 {
		t.Errorf("applied %d after a keepalive at 110", got)
	}
	send(beginMessage(120, 7))
	keepalive(130)
	if got := guard.Applied(); got != 110 {
		t.Errorf("applied %d after a keepalive inside a transaction", got)
	}
	send(commitMessage(120, 140))
	if got := guard.Applied(); got != 140 {
		t.Errorf("applied %d after a commit that ends at 140", got)
	}
	for _, frame := range [][]byte{nil, {'x'}, {'w'}, {'k', 1}, append(big64([]byte{'k'}, 1, 2, 3), 0)} {
		if s.frame(frame) == nil {
			t.Errorf("the frame %q is accepted", frame)
		}
	}
}
