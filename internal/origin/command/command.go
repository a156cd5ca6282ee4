// Package command is the program origin: its commands and flags, and what it starts and stops and in which order. The
// listings service itself is package origin, which knows of no listener. Only the program knows this one.
package command

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/sync/errgroup"

	"walpurge/internal/conninfo"
	"walpurge/internal/origin"
	"walpurge/internal/pgerror"
)

const usage = `usage: origin COMMAND [flags]

  migrate   create or update the schema
  seed      fill empty tables with sample listings
  run       serve the listings over HTTP

"origin COMMAND -h" lists a command's flags. The database is named by -database or,
without it, by the environment variable DATABASE_URL.
`

// usageError is a mistake on the command line: exit status 2.
type usageError struct{ error }

// Report prints err and returns the exit status: 0 for success, 2 for a command
// line that can't be followed, and 1 for everything that failed later.
func Report(err error, stderr io.Writer) int {
	if err != nil {
		fmt.Fprintln(stderr, "origin:", sentence(err))
	}
	var u usageError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &u):
		return 2
	}
	return 1
}

// sentence is an error for people, in one line.
func sentence(err error) string {
	if lasting := pgerror.Lasting(err, urlName); lasting != "" {
		return lasting
	}
	var failed *pgconn.ConnectError
	if errors.As(err, &failed) {
		return "connect to PostgreSQL: " + pgerror.Line(err) + "; correct -database or DATABASE_URL, or start the server"
	}
	return pgerror.Line(err)
}

// Run is the program: args are what follows its name. It returns nil when it has done what it was asked to,
// which for "run" includes being asked to stop.
func Run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) == 0 {
		fmt.Fprint(stderr, usage)
		return usageError{errors.New("no command given")}
	}
	commands := map[string]func(context.Context, []string, io.Writer, io.Writer) error{
		"migrate": migrate, "seed": seed, "run": serve,
	}
	command, ok := commands[args[0]]
	switch {
	case ok:
		err := command(ctx, args[1:], stdout, stderr)
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return err
	case args[0] == "help" || args[0] == "-h" || args[0] == "-help" || args[0] == "--help":
		fmt.Fprint(stdout, usage)
		return nil
	}
	fmt.Fprint(stderr, usage)
	return usageError{fmt.Errorf("unknown command %q", args[0])}
}

func migrate(ctx context.Context, args []string, stdout, _ io.Writer) error {
	flags := newFlags("migrate")
	if err := flags.parse(args, stdout); err != nil {
		return err
	}
	return withConn(ctx, flags.url, func(conn *pgx.Conn) error {
		version, applied, err := origin.Migrate(ctx, conn)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(stdout, "schema version %d, migrations applied: %d\n", version, applied)
		return err
	})
}

func seed(ctx context.Context, args []string, stdout, _ io.Writer) error {
	flags := newFlags("seed")
	listings := flags.Int("listings", origin.DefaultListings, "how many listings to make; there is one agent to a hundred of them, at least ten")
	reset := flags.Bool("reset", false, "delete all listings and agents first")
	ifEmpty := flags.Bool("if-empty", false, "do nothing, and succeed, if there are rows already")
	if err := flags.parse(args, stdout); err != nil {
		return err
	}
	if *listings < 1 || *listings > origin.MaxListings {
		return usageError{fmt.Errorf("-listings must be from 1 to %d", origin.MaxListings)}
	}
	if *reset && *ifEmpty {
		return usageError{errors.New("-reset and -if-empty exclude each other; give one of them")}
	}
	return withConn(ctx, flags.url, func(conn *pgx.Conn) error {
		start := time.Now()
		done, err := origin.Seed(ctx, conn, origin.SeedOptions{Listings: *listings, Reset: *reset})
		if *ifEmpty && errors.Is(err, origin.ErrFilled) {
			_, err = fmt.Fprintln(stdout, "the tables already hold rows; nothing to do")
			return err
		}
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(stdout, "seeded %d listings and %d agents in %.1f s\n", done.Listings, done.Agents, time.Since(start).Seconds())
		return err
	})
}

// serve starts from the inside out, database first, so that the port opens once requests can be
// answered; it stops in the opposite order.
func serve(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := newFlags("run")
	listen := flags.String("listen", "127.0.0.1:9000", "the `address` to serve on; port 0 takes a free one")
	var cached cacheFlags
	cached.register(flags.FlagSet)
	if err := flags.parse(args, stdout); err != nil {
		return err
	}
	if err := cached.check(); err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(stderr, nil))
	store, err := origin.Open(ctx, flags.url)
	if err != nil {
		return err
	}
	defer store.Close()
	cache, err := cached.open(ctx, flags.url, store, log)
	if err != nil {
		return err
	}
	handler, err := origin.Handler(store, log)
	if err != nil {
		return err
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", *listen)
	if err != nil {
		return fmt.Errorf("%w; choose another address with -listen, or stop what uses it", err)
	}
	log.Info("listening", "addr", listener.Addr().String())
	group, ctx := errgroup.WithContext(ctx)
	// The cache's listener outlives the requests: what is served on the way out is
	// proven fresh, too.
	listening, stopListening := context.WithCancel(context.WithoutCancel(ctx))
	group.Go(func() error {
		defer stopListening()
		return origin.Serve(ctx, listener, handler, log)
	})
	if cache != nil {
		defer cache.Close()
		group.Go(func() error { return cache.Run(listening) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	log.Info("stopped")
	return nil
}

// commandFlags are the flags of one command, with the database among them.
type commandFlags struct {
	*flag.FlagSet
	url string
}

func newFlags(command string) *commandFlags {
	flags := &commandFlags{FlagSet: flag.NewFlagSet("origin "+command, flag.ContinueOnError)}
	// Quiet: a mistake is reported once, by Report, and help is printed by parse.
	flags.SetOutput(io.Discard)
	// The environment is read after parsing and not used as the default here: the list of
	// flags prints defaults, and the URL may hold a password.
	flags.StringVar(&flags.url, "database", "", "the `URL` of the database (default: $DATABASE_URL)")
	return flags
}

// urlName is what the connection string is called in messages.
const urlName = "-database or DATABASE_URL"

func (f *commandFlags) parse(args []string, stdout io.Writer) error {
	if err := f.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			fmt.Fprintf(stdout, "usage: %s [flags]\n", f.Name())
			f.SetOutput(stdout)
			f.PrintDefaults()
			return err
		}
		return usageError{fmt.Errorf("%w; see %s -h", err, f.Name())}
	}
	if f.NArg() > 0 {
		if strings.ContainsAny(f.Arg(0), "@=") || strings.Contains(f.Arg(0), "://") { // most likely a URL with a password
			return usageError{errors.New("an argument is not expected; the database's URL stands behind -database")}
		}
		return usageError{fmt.Errorf("unexpected argument %q", f.Arg(0))}
	}
	if f.url == "" {
		f.url = os.Getenv("DATABASE_URL")
	}
	if f.url == "" {
		return usageError{errors.New("no database given; use -database URL or set DATABASE_URL")}
	}
	if _, err := conninfo.Parse(f.url); err != nil {
		return usageError{errors.New(pgerror.Lasting(err, urlName))}
	}
	return nil
}

func withConn(ctx context.Context, url string, f func(*pgx.Conn) error) error {
	info, err := conninfo.Parse(url)
	if err != nil {
		return err
	}
	config, err := info.Client()
	if err != nil {
		return err
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return err
	}
	// The work is done or has failed by then; the server notices the end by itself.
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	return f(conn)
}
