package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"walpurge/config"
)

const usage = `walpurge: a cache that follows the database

usage: proxy COMMAND -config FILE [arguments]

  run       serve
  check     say what is wrong with the configuration, and with the database for it
  setup     prepare the database: publication, slot, replica identity (-print shows the SQL)
  explain   say how a request is cached: proxy explain -config FILE 'GET /api/listings?city=Lagos'
  purge     drop groups of responses: proxy purge -config FILE GROUP…

"proxy COMMAND -h" lists a command's flags.
`

// usageError is a mistake on the command line or in the configuration: exit
// status 2.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// report prints err and returns the exit status: 0 asked to stop, 1 run-time
// failure, 2 usage or configuration.
func report(err error, stderr io.Writer) int {
	var mistake usageError
	var problems *config.Errors
	switch {
	case err == nil || errors.Is(err, flag.ErrHelp):
		return 0
	case errors.As(err, &problems):
		fmt.Fprintln(stderr, problems.Error())
		return 2
	case errors.As(err, &mistake):
		fmt.Fprintln(stderr, "proxy:", err)
		return 2
	}
	fmt.Fprintln(stderr, "proxy:", err)
	return 1
}

// run is the program.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	commands := map[string]func(context.Context, *command) error{
		"run": serve, "check": check, "setup": setup, "explain": explain, "purge": purge,
	}
	if len(args) == 0 {
		fmt.Fprint(stderr, usage)
		return usageError{errors.New("no command given")}
	}
	do, known := commands[args[0]]
	switch {
	case known:
		c := &command{FlagSet: flag.NewFlagSet("proxy "+args[0], flag.ContinueOnError), stdout: stdout, stderr: stderr}
		c.SetOutput(io.Discard) // a mistake is reported once, by report
		c.StringVar(&c.file, "config", "", "the configuration `FILE`")
		c.args = args[1:]
		return do(ctx, c)
	case args[0] == "help" || args[0] == "-h" || args[0] == "-help" || args[0] == "--help":
		fmt.Fprint(stdout, usage)
		return nil
	}
	fmt.Fprint(stderr, usage)
	return usageError{fmt.Errorf("there is no command %q; use one of run, check, setup, explain, purge", args[0])}
}

// command is one call of the program: its flags, its output and, after load,
// its configuration.
type command struct {
	*flag.FlagSet
	args           []string
	file           string
	config         *config.Config
	stdout, stderr io.Writer
}

// load reads the flags and the configuration. Arguments may stand before or
// after the flags.
func (c *command) load() error {
	var rest []string
	for args := c.args; ; {
		if err := c.Parse(args); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				fmt.Fprintf(c.stdout, "usage: %s -config FILE\n", c.Name())
				c.SetOutput(c.stdout)
				c.PrintDefaults()
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
	if c.file == "" {
		return usageError{fmt.Errorf("no configuration given; use %s -config FILE", c.Name())}
	}
	var err error
	c.config, err = config.Load(c.file, os.LookupEnv)
	return err
}

// noArguments refuses what the command doesn't take.
func (c *command) noArguments() error {
	if len(c.args) > 0 {
		return usageError{fmt.Errorf("%s takes no argument, but was given %q", c.Name(), c.args[0])}
	}
	return nil
}
