package bench

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// Main is the program. It returns its exit status: 0 measured, 1 not, 2 a mistake on the command line.
func Main(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	s, err := parse(args, stdout)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintln(stderr, "bench:", err)
		return 2
	}
	if err := run(ctx, s, stdout); err != nil {
		if ctx.Err() != nil {
			err = errors.New("interrupted; no report was written")
		}
		fmt.Fprintln(stderr, "bench:", err)
		return 1
	}
	return 0
}

// settings say what is measured and for how long.
type settings struct {
	proxy string // path of the program
	out   string // path of the report; empty: none is written
	short bool
	http  httpSettings
	log   backlogSettings
}

const defaultReport = "docs/benchmarks/latest.md"

func parse(args []string, stdout io.Writer) (settings, error) {
	s := settings{
		http: httpSettings{rounds: 7, warm: time.Second, load: 3 * time.Second},
		log:  backlogSettings{rounds: 5, changes: 200_000, cached: 100_000},
	}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // a mistake is reported once, by Main
	flags.StringVar(&s.proxy, "proxy", "bin/proxy", "the proxy's `program`")
	flags.StringVar(&s.out, "out", "", "write the report to `FILE` (default "+defaultReport+"; with -short none)")
	flags.BoolVar(&s.short, "short", false, "a trial of less than a minute, too short for numbers to rely on")
	only := flags.String("only", "", "measure `PART` alone: http or backlog")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(stdout, "usage: bench [flags]")
			flags.SetOutput(stdout)
			flags.PrintDefaults()
		}
		return s, err
	}
	if flags.NArg() > 0 {
		return s, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if s.short {
		s.http = httpSettings{rounds: 2, load: time.Second}
		s.log = backlogSettings{rounds: 1, changes: 50_000, cached: 25_000}
	}
	switch *only {
	case "":
		if s.out == "" && !s.short {
			s.out = defaultReport
		}
	case "http":
		s.log.rounds = 0
	case "backlog":
		s.http.rounds = 0
	default:
		return s, fmt.Errorf("-only %s: choose http or backlog", *only)
	}
	return s, nil
}

// run measures and reports. Directories go when it returns.
func run(ctx context.Context, s settings, stdout io.Writer) (err error) {
	dir, err := os.MkdirTemp("", "walpurge-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()

	r := report{machine: describeMachine(ctx), short: s.short, began: time.Now()}
	say := func(format string, args ...any) { fmt.Fprintf(stdout, format+"\n", args...) }
	if s.http.rounds > 0 {
		if r.http, err = measureHTTP(ctx, filepath.Join(dir, "http"), s.proxy, s.http, say); err != nil {
			return fmt.Errorf("measure cache hits: %w", err)
		}
	}
	if s.log.rounds > 0 {
		if r.log, err = measureBacklog(ctx, filepath.Join(dir, "backlog"), s.log, say); err != nil {
			return fmt.Errorf("measure the backlog: %w", err)
		}
	}
	r.took = time.Since(r.began)
	say("")
	if _, err := io.WriteString(stdout, r.text()); err != nil {
		return err
	}
	if s.out == "" {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(s.out), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(s.out, []byte(r.markdown()), 0o644); err != nil {
		return err
	}
	say("\nwritten to %s", s.out)
	return nil
}
