package sidecar

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
)

// completion prints a script that completes this program's command line.
func completion(_ context.Context, c *command) error {
	if err := c.parse(); err != nil {
		return err
	}
	if len(c.args) != 1 {
		return usageError{errors.New("name one shell: bash, zsh or fish")}
	}
	print := map[string]func(io.Writer){"bash": completeBash, "zsh": completeZsh, "fish": completeFish}[c.args[0]]
	if print == nil {
		return usageError{fmt.Errorf("there is no completion for %q; use bash, zsh or fish", c.args[0])}
	}
	print(c.stdout)
	return nil
}

// flagsOf lists a command's flags. file tells of which the value is a file.
func flagsOf(v *verb) (flags []*flag.Flag, file map[string]bool) {
	c := newCommand(v, io.Discard, io.Discard)
	file = map[string]bool{}
	c.VisitAll(func(f *flag.Flag) {
		flags = append(flags, f)
		name, _ := flag.UnquoteUsage(f)
		file[f.Name] = name == "FILE"
	})
	return flags, file
}

func completeBash(w io.Writer) {
	fmt.Fprint(w, `# bash completion for walpurge's proxy
_proxy() {
	local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} words
	COMPREPLY=()
	if (( COMP_CWORD == 1 )); then
`)
	fmt.Fprintf(w, "\t\tCOMPREPLY=($(compgen -W %q -- \"$word\"))\n\t\treturn\n\tfi\n", strings.ReplaceAll(verbNames(), ",", "")+" help")
	fmt.Fprint(w, "\tcase $before in\n\t-config | --config)\n\t\tCOMPREPLY=($(compgen -f -- \"$word\"))\n\t\treturn\n\t\t;;\n\tesac\n\tcase ${COMP_WORDS[1]} in\n")
	for _, v := range verbs() {
		flags, _ := flagsOf(v)
		words := append([]string{"-h"}, v.words...)
		for _, f := range flags {
			words = append(words, "-"+f.Name)
		}
		fmt.Fprintf(w, "\t%s) words=%q ;;\n", v.name, strings.Join(words, " "))
	}
	fmt.Fprintf(w, "\thelp) words=%q ;;\n", strings.ReplaceAll(verbNames(), ",", ""))
	fmt.Fprint(w, `	esac
	COMPREPLY=($(compgen -W "$words" -- "$word"))
}
complete -o filenames -F _proxy proxy
`)
}

func completeZsh(w io.Writer) {
	fmt.Fprint(w, "#compdef proxy\n# zsh completion for walpurge's proxy\n_proxy() {\n\tlocal -a commands\n\tcommands=(\n")
	for _, v := range verbs() {
		fmt.Fprintf(w, "\t\t'%s:%s'\n", v.name, quoteZsh(v.summary))
	}
	fmt.Fprint(w, "\t)\n\tif (( CURRENT == 2 )); then\n\t\t_describe command commands\n\t\treturn\n\tfi\n\tlocal command=$words[2]\n\tshift words\n\t(( CURRENT-- ))\n\tcase $command in\n")
	for _, v := range verbs() {
		fmt.Fprintf(w, "\t%s)\n\t\t_arguments '-h[help]'", v.name)
		flags, file := flagsOf(v)
		for _, f := range flags {
			name, usage := flag.UnquoteUsage(f)
			spec := "-" + f.Name + "[" + quoteZsh(usage) + "]"
			if file[f.Name] {
				spec += ":file:_files"
			} else if name != "" {
				spec += ":" + strings.ToLower(name) + ":"
			}
			fmt.Fprintf(w, " '%s'", spec)
		}
		if len(v.words) > 0 {
			fmt.Fprintf(w, " '*:word:(%s)'", strings.Join(v.words, " "))
		}
		fmt.Fprint(w, "\n\t\t;;\n")
	}
	fmt.Fprint(w, "\tesac\n}\nif [[ $funcstack[1] == _proxy ]]; then\n\t_proxy \"$@\"\nelse\n\tcompdef _proxy proxy\nfi\n")
}

// quoteZsh takes out what ends a description or its quotes.
func quoteZsh(s string) string {
	return strings.NewReplacer("'", "", "[", "(", "]", ")", ":", "\\:").Replace(s)
}

func completeFish(w io.Writer) {
	fmt.Fprint(w, "# fish completion for walpurge's proxy\ncomplete -c proxy -f\n")
	for _, v := range verbs() {
		fmt.Fprintf(w, "complete -c proxy -n __fish_use_subcommand -a %s -d '%s'\n", v.name, quoteFish(v.summary))
		when := "-n '__fish_seen_subcommand_from " + v.name + "'"
		flags, file := flagsOf(v)
		for _, f := range flags {
			name, usage := flag.UnquoteUsage(f)
			line := "complete -c proxy " + when + " -o " + f.Name + " -d '" + quoteFish(usage) + "'"
			if file[f.Name] {
				line += " -r -F"
			} else if name != "" {
				line += " -x"
			}
			fmt.Fprintln(w, line)
		}
		if len(v.words) > 0 {
			fmt.Fprintf(w, "complete -c proxy %s -a '%s'\n", when, strings.Join(v.words, " "))
		}
	}
}

func quoteFish(s string) string { return strings.ReplaceAll(s, "'", `\'`) }
