package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the process at once
	os.Exit(bench(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// bench is the program. It returns its exit status: 0 measured, 1 not, 2 a mistake on the command line.
func bench(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) > 0 && args[0] == getLoopCommand {
		if err := runGetLoop(ctx, args[1:], stdout); err != nil {
			fmt.Fprintln(stderr, "bench:", err)
			return 1
		}
		return 0
	}
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

// settings say what is measured.
type settings struct {
	proxy  string // path of the program
	before string // path of an earlier build; empty: none
	out    string // path of the report; empty: none is written
	short  bool
	parts  []part
}

const defaultReport = "docs/benchmarks/latest.md"

// part is a comparison that can be run alone.
type part struct {
	name    string
	about   string
	measure func(context.Context, *stage) (*result, error)
}

// parts stand in the order of the report.
var parts = []part{
	{"hits", "CPU, throughput and latency of hits, all contestants", measureHits},
	{"staleness", "stale responses and origin load, by TTL, by purges and ours", measureStaleness},
	{"sizes", "hits of 200 B, 32 KiB and 1 MiB", measureSizes},
	{"connections", "hits over 1, 1,000 and 10,000 connections", measureConnections},
	{"keys", "hits of 10, 10,000 and 1,000,000 keys, and the memory of an entry", measureKeys},
	{"conditional", "304 answers", measureConditional},
	{"redis", "hits from Redis", measureRedis},
	{"misses", "what a miss adds", measureMisses},
	{"writes", "hits while rows change", measureWrites},
	{"start", "starting with a warm Redis", measureStart},
	{"purge", "from a commit to its purge", measurePurge},
	{"changes", "what a row change costs with many cached responses", measureChanges},
	{"precision", "what a row change purges, beside what it changes", measurePrecision},
	{"backlog", "a backlog, beside pg_recvlogical", measureBacklog},
	{partBefore, "what each way costs, beside an earlier build (-before)", measureBefore},
}

// partBefore is measured where -before is given, and then alone unless -only says more.
const partBefore = "before"

func partNames() string {
	names := make([]string, len(parts))
	for i, p := range parts {
		names[i] = p.name
	}
	return strings.Join(names, ", ")
}

func parse(args []string, stdout io.Writer) (settings, error) {
	s := settings{}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // a mistake is reported once, by bench
	flags.StringVar(&s.proxy, "proxy", "bin/proxy", "the proxy's `program`")
	flags.StringVar(&s.before, "before", "", "an earlier build of the proxy's `program`, to measure the part before with, alone unless -only says more")
	flags.StringVar(&s.out, "out", "", "write the report to `FILE`, and pictures beside it (default "+defaultReport+"; with -short, -only or -before none)")
	flags.BoolVar(&s.short, "short", false, "a trial of all parts in about two minutes, too short for numbers to rely on")
	only := flags.String("only", "", "measure `PARTS` alone, separated by commas: "+partNames())
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
	earlier := func(p part) bool { return p.name == partBefore }
	switch {
	case *only == "" && s.before != "":
		s.parts = parts[slices.IndexFunc(parts, earlier):][:1]
	case *only == "":
		s.parts = slices.DeleteFunc(slices.Clone(parts), earlier)
	default:
		for name := range strings.SplitSeq(*only, ",") {
			i := slices.IndexFunc(parts, func(p part) bool { return p.name == name })
			if i < 0 {
				return s, fmt.Errorf("-only %s: there is no part %q; choose from %s", *only, name, partNames())
			}
			s.parts = append(s.parts, parts[i])
		}
	}
	if s.before == "" && slices.ContainsFunc(s.parts, earlier) {
		return s, errors.New("the part before needs an earlier build; name its program with -before")
	}
	if s.out == "" && !s.short && *only == "" && s.before == "" {
		s.out = defaultReport
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
	say := func(format string, args ...any) {
		fmt.Fprintf(stdout, "%4.0f s  "+format+"\n", append([]any{time.Since(r.began).Seconds()}, args...)...)
	}
	st, err := newStage(ctx, dir, s.proxy, s.before, s.short, say)
	defer func() { err = errors.Join(err, st.end()) }()
	if err != nil {
		return fmt.Errorf("prepare: %w", err)
	}
	if err := r.measure(ctx, st, s.parts, say); err != nil {
		return err
	}
	r.took = time.Since(r.began)
	fmt.Fprintln(stdout)
	if _, err := io.WriteString(stdout, r.text()); err != nil {
		return err
	}
	return errors.Join(append(r.failures, s.write(&r, say))...)
}

// write puts the report and its pictures in their files.
func (s *settings) write(r *report, say func(string, ...any)) error {
	if s.out == "" {
		return nil
	}
	dir := filepath.Dir(s.out)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, result := range r.results {
		for name, svg := range result.pictures {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(svg), 0o644); err != nil {
				return err
			}
		}
	}
	if err := os.WriteFile(s.out, []byte(r.markdown()), 0o644); err != nil {
		return err
	}
	say("written to %s", s.out)
	return nil
}

// measure runs the parts, one after the other. It returns early only when ctx ends.
func (r *report) measure(ctx context.Context, st *stage, parts []part, say func(string, ...any)) error {
	for _, p := range parts {
		say("%s: %s", p.name, p.about)
		found, err := p.measure(ctx, st)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			// The others are measured all the same, but the run has failed, and its report says so.
			failure := fmt.Errorf("measure %s: %w", p.name, err)
			say("%v", failure)
			r.failures = append(r.failures, failure)
		default:
			r.results = append(r.results, found)
		}
	}
	return nil
}
