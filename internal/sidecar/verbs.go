package sidecar

import (
	"context"
	"flag"
	"fmt"
	"io"
	"strings"
)

// verb is one of the program's commands. Help, usage and shell completion are
// made of what stands here.
type verb struct {
	name     string
	takes    string // arguments beside the flags
	summary  string // in the list of commands
	about    string // in the command's own help
	examples []string
	words    []string // what the first argument can be, for completion
	flags    func(*command)
	run      func(context.Context, *command) error
}

// verbs are the commands in the order in which people meet them.
func verbs() []*verb {
	return []*verb{
		{
			name: "run", summary: "serve", run: serve, flags: configFlag,
			about: "Serves until SIGINT or SIGTERM. SIGHUP reads the file again and takes over its routes; a file with a mistake changes nothing.",
			examples: []string{
				"proxy run -config proxy.yaml",
				"kill -HUP $(pidof proxy)    # after an edit of the routes",
			},
		},
		{
			name: "check", summary: "say what is wrong with the configuration, and with the database for it", run: check,
			about: "Ends with 0 if all is well and with 2 if not. A database that doesn't answer is no mistake of the configuration.",
			flags: func(c *command) { configFlag(c); c.jsonFlag() },
			examples: []string{
				"proxy check -config proxy.yaml",
				"proxy check -json -config proxy.yaml",
			},
		},
		{
			name: "setup", summary: "prepare the database: publication, slot, replica identity (-print shows the SQL)", run: setup,
			about: "Makes what the configuration needs and isn't there. Doing it twice does no harm.",
			flags: func(c *command) {
				configFlag(c)
				c.BoolVar(&c.print, "print", false, "print the SQL and change nothing")
			},
			examples: []string{
				"proxy setup -print -config proxy.yaml",
				"proxy setup -config proxy.yaml",
			},
		},
		{
			name: "explain", takes: "'METHOD URL'", summary: "say how a request is cached: proxy explain -config FILE 'GET /api/listings?city=Lagos'", run: explain,
			about: "Tells route, key, lifetime and dependencies of a request, and which changes purge its response. A running proxy is not asked.",
			flags: func(c *command) { configFlag(c); c.jsonFlag() },
			examples: []string{
				"proxy explain -config proxy.yaml 'GET /api/listings?city=Lagos'",
				"proxy explain -json -config proxy.yaml /api/listings/42",
			},
			words: []string{"GET", "HEAD", "POST"},
		},
		{
			name: "purge", takes: "GROUP…", summary: "drop groups of responses: proxy purge -config FILE GROUP…", run: purge,
			about: "Writes a message into the database's log, so that every proxy of the database drops the groups.",
			flags: func(c *command) { configFlag(c); c.jsonFlag() },
			examples: []string{
				"proxy purge -config proxy.yaml front-page",
				"proxy purge -json -config proxy.yaml posts news",
			},
		},
		{
			name: "status", summary: "show what a running proxy does, live on a terminal (-check is for health checks)", run: showStatus,
			about: "Asks the admin port. On a terminal it goes on until Ctrl-C; with -once or -json, or when its output goes elsewhere, it answers once.",
			flags: statusFlag,
			examples: []string{
				"proxy status -config proxy.yaml",
				"proxy status -admin 127.0.0.1:8081 -json",
				"proxy status -check         # exit status 0: the proxy answers",
				"proxy status -check -ready  # and can prove that what it serves is fresh",
			},
		},
		{
			name: "completion", takes: "SHELL", summary: "print the completion for bash, zsh or fish", run: completion,
			about: "Prints a script for the shell that completes commands, flags and files.",
			examples: []string{
				"source <(proxy completion bash)",
				"proxy completion zsh > \"${fpath[1]}/_proxy\"",
				"proxy completion fish > ~/.config/fish/completions/proxy.fish",
			},
			words: []string{"bash", "zsh", "fish"},
		},
	}
}

func configFlag(c *command) { c.StringVar(&c.file, "config", "", "the configuration `FILE`") }

func (c *command) jsonFlag() { c.BoolVar(&c.json, "json", false, "print JSON") }

func findVerb(name string) *verb {
	for _, v := range verbs() {
		if v.name == name {
			return v
		}
	}
	return nil
}

func verbNames() string {
	var names []string
	for _, v := range verbs() {
		names = append(names, v.name)
	}
	return strings.Join(names, ", ")
}

func printUsage(w io.Writer) {
	fmt.Fprint(w, "walpurge: a cache that follows the database\n\nusage: proxy COMMAND -config FILE [arguments]\n\n")
	for _, v := range verbs() {
		fmt.Fprintf(w, "  %-11s %s\n", v.name, v.summary)
	}
	fmt.Fprint(w, "\n\"proxy COMMAND -h\" has a command's flags and examples.\n")
}

// help is what -h prints.
func (c *command) help(w io.Writer) {
	line := "usage: " + c.Name()
	if c.Lookup("config") != nil && c.Lookup("admin") == nil {
		line += " -config FILE"
	}
	c.VisitAll(func(f *flag.Flag) {
		name, _ := flag.UnquoteUsage(f)
		switch {
		case f.Name == "config" && c.Lookup("admin") == nil:
		case name == "":
			line += " [-" + f.Name + "]"
		default:
			line += " [-" + f.Name + " " + name + "]"
		}
	})
	if c.verb.takes != "" {
		line += " " + c.verb.takes
	}
	fmt.Fprintf(w, "%s\n\n%s\n", line, c.verb.about)
	if c.verb.flags != nil {
		fmt.Fprint(w, "\nflags:\n")
		c.SetOutput(w)
		c.PrintDefaults()
		c.SetOutput(io.Discard)
	}
	fmt.Fprint(w, "\nexamples:\n")
	for _, example := range c.verb.examples {
		fmt.Fprintf(w, "  %s\n", example)
	}
}
