package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"render/cmd/render/config"

	"github.com/urfave/cli/v2"
)

// shells are the shells that there is completion for.
var shells = map[string]func(io.Writer) error{"bash": completeBash, "zsh": completeZsh, "fish": completeFish}

func completionCommand(stdout io.Writer) *cli.Command {
	return &cli.Command{
		Name: "completion",
		Action: func(c *cli.Context) error {
			write := shells[c.Args().First()]
			if write == nil || c.NArg() != 1 {
				return usageError{errors.New("completion: needs the name of one shell: bash, zsh or fish")}
			}
			return write(stdout)
		},
	}
}

// completable returns the settings whose flags are offered: not those without effect.
func completable() []*config.Setting {
	return slices.DeleteFunc(config.WithFlags(), func(s *config.Setting) bool { return s.Idle != "" })
}

// completeBash takes flags with one dash or two, and values after a space or an equals sign, which bash makes a word, as it
// does each colon.
func completeBash(w io.Writer) error {
	var flags, paths, signals, others []string
	var choices strings.Builder
	for _, s := range completable() {
		flags = append(flags, s.Flag)
		switch words := s.Words(); {
		case words != nil:
			fmt.Fprintf(&choices, "    %s) COMPREPLY=($(compgen -W %q -- \"$word\")); return ;;\n", s.Flag, strings.Join(words, " "))
		case s.TakesPath():
			paths = append(paths, s.Flag)
		case s.IsSignal():
			signals = append(signals, s.Flag)
		case s.OperandName() != "":
			others = append(others, s.Flag)
		}
	}
	_, err := fmt.Fprintf(w, `_render() {
  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} flag= dash=-- IFS=$' \t\n'
  COMPREPLY=()
  case $word in
    = | :) word= ;;
    *) [[ $before != = ]] || before=${COMP_WORDS[COMP_CWORD-2]} ;;
  esac
  [[ $before != -* ]] || { flag=${before#-}; flag=${flag#-}; }
  [[ ${COMP_WORDS[COMP_CWORD]} != : && $before != : ]] || flag=template
  case $flag in
%s    %s) IFS=$'\n'; COMPREPLY=($(compgen -f -- "$word")); return ;;
    %s) COMPREPLY=($(compgen -A signal -- "$word")); return ;;
    %s) return ;;
  esac
  case $word in
    -*)
      [[ $word != -[!-]* ]] || dash=-
      word=${word#-}
      COMPREPLY=($(compgen -P "$dash" -W "%s help version" -- "${word#-}")) ;;
    *)
      [[ $COMP_CWORD != 1 ]] || COMPREPLY=($(compgen -W "completion help history man status why" -- "$word"))
      [[ ${COMP_WORDS[1]} != why && ${COMP_WORDS[1]} != history ]] || COMPREPLY=($(compgen -f -- "$word"))
      [[ $COMP_CWORD != 2 || $before != completion ]] || COMPREPLY=($(compgen -W "bash zsh fish" -- "$word")) ;;
  esac
}
complete -o filenames -F _render render consul-template
`, choices.String(), strings.Join(paths, "|"), strings.Join(signals, "|"), strings.Join(others, "|"), strings.Join(flags, " "))
	return err
}

func completeZsh(w io.Writer) error {
	var b strings.Builder
	for _, s := range completable() {
		meaning := strings.NewReplacer("`", "", "'", "", "[", "(", "]", ")", ":", `\:`).Replace(s.Brief())
		value := ""
		switch words := s.Words(); {
		case words != nil:
			value = fmt.Sprintf(":%s:(%s)", s.OperandName(), strings.Join(words, " "))
		case s.TakesPath():
			value = fmt.Sprintf(":%s:_files", s.OperandName())
		case s.OperandName() != "":
			value = fmt.Sprintf(":%s: ", strings.ReplaceAll(s.OperandName(), ":", `\:`))
		}
		fmt.Fprintf(&b, "  '*--%s[%s]%s' \\\n", s.Flag, meaning, value)
	}
	_, err := fmt.Fprintf(w, "#compdef render consul-template\n\n_arguments -s \\\n%s  '--help[print the help]' \\\n  '--version[print the version]' \\\n  '1::command:(completion help history man status why)' \\\n  '2::shell:(bash zsh fish)'\n", b.String())
	return err
}

func completeFish(w io.Writer) error {
	var b strings.Builder
	quote := strings.NewReplacer("`", "", `\`, `\\`, "'", `\'`)
	for _, s := range completable() {
		fmt.Fprintf(&b, "complete -c render -l %s -d '%s'", s.Flag, quote.Replace(s.Brief()))
		switch words := s.Words(); {
		case words != nil:
			fmt.Fprintf(&b, " -x -a '%s'", strings.Join(words, " "))
		case s.TakesPath():
			b.WriteString(" -r -F")
		case s.OperandName() != "":
			b.WriteString(" -x")
		}
		b.WriteString("\n")
	}
	_, err := fmt.Fprintf(w, "complete -c render -f\ncomplete -c render -n __fish_use_subcommand -a 'completion help history man status why'\ncomplete -c render -n '__fish_seen_subcommand_from completion' -a 'bash zsh fish'\n%scomplete -c consul-template -w render\n", b.String())
	return err
}
