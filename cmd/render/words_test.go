package main

import (
	"io/fs"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"render/cmd/render/config"
)

// documents returns the paths of all documents for users: each page in the repository.
func documents(t *testing.T) (all []string) {
	t.Helper()
	const root = "../.."
	check(t, filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && path != root && (strings.HasPrefix(entry.Name(), ".") || entry.Name() == "testdata"):
			return fs.SkipDir
		case strings.HasSuffix(path, ".md"):
			if relative, err := filepath.Rel("../../cmd/render", path); err == nil && !strings.HasPrefix(relative, "..") {
				path = relative
			}
			all = append(all, path)
		}
		return nil
	}))
	if len(all) < 10 {
		t.Fatalf("found %d documents", len(all))
	}
	return all
}

// avoidedWords are words that users do not read, because another word is clearer. The value is that word.
var avoidedWords = map[string]string{
	`mend(?:s|ed|ing)?`:   "fix",
	`true to`:             "in sync with",
	`gives|gave|given by`: "returns, outputs",
	`in force|holds for`:  "in effect, applies to",
	`other than|others`:   "different, another",
	`asks? for|asked for`: "queries, uses",
	`(?:is|are) none`:     "does not exist, is missing",
	`tells|(?:is|are|was) told|told (?:of|about)`:              "reports, logs, warns",
	`is to end|lets? .{1,20} end`:                              "ends, exits",
	`ha(?:s|ve) yet to|owed|owes?`:                             "pending, waits for",
	`tried again|does .{1,10} again at the next start`:         "retries",
	`likes|must like`:                                          "accepts",
	`the longest that|the least`:                               "at most, at least",
	`news|what has come|what moves|(?:nothing|anything) moves`: "change, idle",
	`kin`:                        "similar, related",
	`what stands between|blanks`: "separator, whitespace",
	`stumbles?|within a blink|next to nothing`: "a term of the field",
	`goes on with|go on with`:                  "keeps, continues with",
	`comes? back`:                              "is restored",
	`taken by itself|are taken|is taken`:       "used, applied",
	`as good as|to no avail|so much as`:        "a plain word",
}

const (
	longestSentence = 35  // words
	longestLine     = 150 // characters
)

var (
	codeBlock     = regexp.MustCompile("(?m)^```(?s:.*?)^```|^(?:    .*\n)+")
	inlineCode    = regexp.MustCompile("`[^`\n]+`")
	linkTarget    = regexp.MustCompile(`\]\([^)]*\)`)
	blockMarkup   = regexp.MustCompile(`(?m)^(?:\s*[-*] |\s*\d+\. |#+ .*$)`)
	inlineMarkup  = regexp.MustCompile(`(?m)<!--.*?-->|\*\*|\[|^\s*[-*] |^#+ `)
	endOfSentence = regexp.MustCompile(`[.!?:]["')]*(?:\s+|$)|\n\n+|\|\s*`)
)

// sentences returns the sentences of a document, without code. A cell of a table, an entry of a list and a heading are sentences.
func sentences(text string) (all []string) {
	text = codeBlock.ReplaceAllString(text, "\n\n")
	text = inlineCode.ReplaceAllString(text, "CODE")
	text = linkTarget.ReplaceAllString(text, "")
	text = blockMarkup.ReplaceAllString(text, "\n\n$0\n\n")
	text = inlineMarkup.ReplaceAllString(text, "")
	for _, s := range endOfSentence.Split(text, -1) {
		if s = strings.Join(strings.Fields(s), " "); s != "" {
			all = append(all, s)
		}
	}
	return all
}

// Documents have short sentences, and use the words that the field uses.
func TestWordsOfDocuments(t *testing.T) {
	n := 0
	for _, path := range documents(t) {
		for _, s := range sentences(readAll(t, path)) {
			n++
			checkWords(t, path, s)
		}
	}
	if n < 1500 {
		t.Errorf("found %d sentences", n)
	}
}

// The help has the same rules, and each flag's text can be read alone: it begins with a capital letter and has no full stop at its end.
func TestWordsOfHelp(t *testing.T) {
	for _, text := range []string{shortHelp, helpText(), manual()} {
		for _, line := range strings.Split(text, "\n\n") {
			for _, s := range endOfSentence.Split(strings.Join(strings.Fields(line), " "), -1) {
				checkAvoided(t, "the help", s)
			}
		}
	}
	n := 0
	for _, s := range config.WithFlags() {
		if s.Meaning == "" || s.Idle != "" {
			continue
		}
		n++
		if first := s.Meaning[0]; first < 'A' || first > 'Z' || strings.HasSuffix(s.Meaning, ".") {
			t.Errorf("--%s: %q cannot be read alone", s.Flag, s.Meaning)
		}
		for _, sentence := range sentences(s.Meaning) {
			checkWords(t, "--"+s.Flag, sentence)
		}
	}
	if n < 80 {
		t.Errorf("found %d flags", n)
	}
}

// Lines of text are short enough for a terminal and for a diff. Rows of tables have no such limit.
func TestLinesOfDocuments(t *testing.T) {
	for _, path := range documents(t) {
		for line := range strings.Lines(codeBlock.ReplaceAllString(readAll(t, path), "")) {
			if n := len([]rune(line)); n > longestLine && !strings.HasPrefix(line, "|") && !strings.Contains(line, "`{") {
				t.Errorf("%s has a line of %d characters: %s", path, n, line)
			}
		}
	}
}

func checkWords(t *testing.T, where, sentence string) {
	t.Helper()
	if n := len(strings.Fields(sentence)); n > longestSentence {
		t.Errorf("%s has a sentence of %d words: %s", where, n, sentence)
	}
	checkAvoided(t, where, sentence)
}

func checkAvoided(t *testing.T, where, sentence string) {
	t.Helper()
	for avoided, better := range avoidedPatterns {
		if found := avoided.FindString(sentence); found != "" {
			t.Errorf("%s says %q in place of %q: %s", where, found, better, sentence)
		}
	}
}

var avoidedPatterns = func() map[*regexp.Regexp]string {
	all := make(map[*regexp.Regexp]string)
	for words, better := range avoidedWords {
		all[regexp.MustCompile(`(?i)\b(?:`+words+`)\b`)] = better
	}
	return all
}()

// The rules for words find what breaks them.
func TestWordsAreFound(t *testing.T) {
	got := sentences("# A heading\n\nOne `is none` sentence; [a link](others.md).\nIt mends. \n\n    code mends\n\n| `x` | a cell |\n|---|---|\n- an entry: why\n\n```\nothers\n```\n")
	want := []string{"A heading", "One CODE sentence; a link", "It mends", "CODE", "a cell", "---", "---", "an entry", "why"}
	if strings.Join(got, "/") != strings.Join(want, "/") {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	for text, found := range map[string]bool{
		"render mends it": true, "Others": true, "the amendment": false, "it asks for a key": true, "there is none.": true, "news": true, "newsletter": false,
		"the newest": false, "it is told of a change": true, "skin": false, "a blank": false,
	} {
		got := false
		for avoided := range avoidedPatterns {
			got = got || avoided.MatchString(text)
		}
		if got != found {
			t.Errorf("%q: found %v", text, got)
		}
	}
}

// What people come for is found within two clicks from README.md.
func TestTasksAreFound(t *testing.T) {
	clicks := clicksFromReadme(t)
	for task, heading := range map[string]string{
		"install render":                           "README.md#install",
		"try render without Consul":                "README.md#try-it-without-consul",
		"have nginx follow Consul":                 "README.md#nginx-follows-consul",
		"have HAProxy follow Consul":               "examples/haproxy/README.md#haproxy",
		"have a Node.js service find its peers":    "examples/nodejs/README.md#nodejs",
		"have Prometheus find its targets":         "examples/prometheus/README.md#prometheus",
		"have DNS names for services":              "examples/dnsmasq/README.md#dns-with-dnsmasq",
		"have a virtual host for each service":     "examples/vhosts/README.md#virtual-hosts",
		"configure an application from keys":       "examples/app-config/README.md#configuration-of-an-application",
		"test templates in pull requests":          "examples/ci/README.md#templates-in-ci",
		"see a whole stack run":                    "examples/stack/README.md#the-whole-stack",
		"register containers in Consul":            "examples/stack/registrator/README.md#the-registrator",
		"run render under systemd":                 "README.md#run-it-under-systemd",
		"run render in a container":                "cmd/render/README.md#containers",
		"render in CI, without Consul":             "README.md#in-ci",
		"render several templates with one reload": "README.md#more-than-one-template",
		"write a fixture":                          "watch/README.md#the-fixture",
		"create a token for render":                "watch/consul/README.md#a-token-for-render",
		"talk to Consul over TLS":                  "cmd/render/README.md#tls-to-consul",
		"use several Consul addresses":             "watch/consul/README.md#several-addresses",
		"rotate the log":                           "cmd/render/README.md#log-rotation",
		"understand a line of the log":             "cmd/render/LOG.md#the-log",
		"understand why a template waits":          "cmd/render/LOG.md#rendering",
		"render as another user":                   "cmd/render/README.md#run-render-as-another-user",
		"set mode and owner of a file":             "cmd/render/README.md#mode-and-owner",
		"undo a bad reload":                        "cmd/render/README.md#undo-a-bad-reload",
		"reject a file before it is in place":      "cmd/render/README.md#checks",
		"test the service after a reload":          "cmd/render/README.md#verification",
		"survive the loss of all instances":        "cmd/render/README.md#losses-of-instances",
		"reload less often":                        "cmd/render/README.md#delays",
		"reload the configuration":                 "cmd/render/README.md#reloading",
		"know what an exit code means":             "cmd/render/README.md#exit-codes",
		"start and supervise a program":            "cmd/render/README.md#the-supervised-program",
		"repair files that somebody changed":       "cmd/render/README.md#drift",
		"write configuration files":                "cmd/render/README.md#configuration-files",
		"see why a file changed":                   "cmd/render/README.md#ask-a-running-render",
		"complete flags in a shell":                "cmd/render/README.md#help-manual-and-completion",
		"move from consul-template":                "cmd/render/MOVING.md#moving-from-consul-template",
		"read a key with a default":                "template/README.md#queries",
		"write values of strangers safely":         "template/README.md#safe-values",
		"look up a function of sprig":              "template/README.md#sprig",
		"restrict what templates may do":           "template/README.md#options-of-a-template",
		"know how soon a change arrives":           "watch/consul/README.md#delays",
		"know what render costs Consul":            "watch/consul/README.md#what-this-costs-consul",
	} {
		if n, ok := clicks[heading]; !ok {
			t.Errorf("%q: no link leads to %s within two clicks", task, heading)
		} else if n > 2 {
			t.Errorf("%q: %s is %d clicks from README.md", task, heading, n)
		}
	}
}

// clicksFromReadme returns the headings that links lead to, with the number of links to follow from README.md. A link to a page leads
// to its first heading, and the headings of README.md need none.
func clicksFromReadme(t *testing.T) map[string]int {
	t.Helper()
	clicks := make(map[string]int)
	for _, anchor := range anchorsOf(t, "../../README.md") {
		clicks["README.md#"+anchor] = 0
	}
	pages := []string{"README.md"}
	for n := 1; n <= 2; n++ {
		var next []string
		for _, page := range pages {
			for _, m := range documentLink.FindAllStringSubmatch(readAll(t, filepath.Join("../..", page)), -1) {
				file, anchor, _ := strings.Cut(m[1], "#")
				if strings.Contains(m[1], "://") || file != "" && !strings.HasSuffix(file, ".md") {
					continue
				}
				to := page
				if file != "" {
					to = filepath.Join(filepath.Dir(page), file)
				}
				if anchor == "" {
					anchor = anchorsOf(t, filepath.Join("../..", to))[0]
				}
				if _, known := clicks[to+"#"+anchor]; !known {
					clicks[to+"#"+anchor] = n
					next = append(next, to)
				}
			}
		}
		pages = next
	}
	return clicks
}
