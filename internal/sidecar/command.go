package sidecar

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"walpurge/config"
	"walpurge/internal/pgerror"
)

// usageError is a mistake on the command line or in the configuration: exit
// status 2.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// answeredError is a failure that the command has told of in its own answer: only
// the exit status is left.
type answeredError struct{ error }

func (e answeredError) Unwrap() error { return e.error }

// Report prints err and returns the exit status: 0 asked to stop, 1 run-time
// failure, 2 usage or configuration.
func Report(err error, stderr io.Writer) int {
	var mistake usageError
	var problems *config.Errors
	var answered answeredError
	if errors.As(err, &answered) {
		stderr = io.Discard
	}
	switch {
	case err == nil || errors.Is(err, flag.ErrHelp):
		return 0
	case errors.As(err, &problems):
		fmt.Fprintln(stderr, coloured(newPalette(stderr), problems))
		return 2
	case errors.As(err, &mistake):
		fmt.Fprintln(stderr, newPalette(stderr).bad("proxy:"), err)
		return 2
	}
	text := pgerror.Line(err)
	var unconnected *pgconn.ConnectError
	var answer *pgconn.PgError
	if errors.As(err, &unconnected) || errors.As(err, &answer) {
		text += "; " + pgerror.Mend(err)
	}
	fmt.Fprintln(stderr, newPalette(stderr).bad("proxy:"), text)
	return 1
}

// coloured is what is wrong with a file, its places emphasised.
func coloured(p palette, problems *config.Errors) string {
	text := problems.Error()
	if !p {
		return text
	}
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if place, message, ok := strings.Cut(line, ": "); ok && !strings.HasPrefix(line, " ") {
			lines[i] = p.bold(place+":") + " " + p.bad(message)
		}
	}
	return strings.Join(lines, "\n")
}

// Run is the program: args are what follows its name.
func Run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) == 0 {
		printUsage(stderr)
		return usageError{errors.New("no command given")}
	}
	if v := findVerb(args[0]); v != nil {
		c := newCommand(v, stdout, stderr)
		c.args = args[1:]
		return v.run(ctx, c)
	}
	switch args[0] {
	case "help", "-h", "-help", "--help":
		if len(args) > 1 {
			v := findVerb(args[1])
			if v == nil {
				return usageError{fmt.Errorf("there is no command %q; use one of %s", args[1], verbNames())}
			}
			newCommand(v, stdout, stderr).help(stdout)
			return nil
		}
		printUsage(stdout)
		return nil
	}
	printUsage(stderr)
	return usageError{fmt.Errorf("there is no command %q; use one of %s", args[0], verbNames())}
}

// command is one call of the program: its flags, its output and, after load,
// its configuration.
type command struct {
	*flag.FlagSet
	verb           *verb
	args           []string
	file           string
	json           bool
	print          bool // of setup
	status         statusFlags
	config         *config.Config
	stdout, stderr io.Writer
}

func newCommand(v *verb, stdout, stderr io.Writer) *command {
	c := &command{FlagSet: flag.NewFlagSet("proxy "+v.name, flag.ContinueOnError), verb: v, stdout: stdout, stderr: stderr}
	c.SetOutput(io.Discard) // a mistake is reported once, by Report
	if v.flags != nil {
		v.flags(c)
	}
	return c
}

// parse reads the flags. Arguments may stand before or after them.
func (c *command) parse() error {
	var rest []string
	for args := c.args; ; {
		if err := c.Parse(args); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				c.help(c.stdout)
				return err
			}
			return usageError{fmt.Errorf("%w; see %s -h", err, c.Name())}
		}
		if c.NArg() == 0 {
			break
		}
		rest = append(rest, c.Arg(0))
		args = c.Args()[1:]
	}
	c.args = rest
	return nil
}

// load reads the flags and the configuration.
func (c *command) load() error {
	if err := c.parse(); err != nil {
		return err
	}
	if c.file == "" {
		return usageError{fmt.Errorf("no configuration given; use %s -config FILE", c.Name())}
	}
	var err error
	c.config, err = config.Load(c.file, os.LookupEnv)
	return err
}

// printJSON writes v as the command's answer.
func (c *command) printJSON(v any) error {
	e := json.NewEncoder(c.stdout)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// noArguments refuses what the command doesn't take.
func (c *command) noArguments() error {
	if len(c.args) > 0 {
		if strings.ContainsAny(c.args[0], "@=") || strings.Contains(c.args[0], "://") { // most likely a URL with a password
			return usageError{fmt.Errorf("%s takes no argument; URLs stand in the configuration", c.Name())}
		}
		return usageError{fmt.Errorf("%s takes no argument, but was given %q", c.Name(), c.args[0])}
	}
	return nil
}
