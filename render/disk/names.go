package disk

import (
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"strconv"
	"strings"
)

const (
	ourPrefix = ".render-"
	savedEnd  = ".old"
	markEnd   = ".owed"
	backupEnd = ".bak"

	maxBase = 200 // leaves room for what is added: a name has 255 bytes at most
	maxName = 255
)

// hidden returns the name of a file of ours beside a destination, without its end.
func hidden(name string) string {
	if len(name) > maxBase {
		name = fmt.Sprintf("%s-%x", name[:maxBase], crc32.ChecksumIEEE([]byte(name)))
	}
	return ourPrefix + name
}

func savedName(name string) string { return hidden(name) + savedEnd }
func markName(name string) string  { return hidden(name) + markEnd }

func temporaryName(name string) string {
	return hidden(name) + "-" + strconv.FormatUint(rand.Uint64(), 10)
}

// temporaryOf returns what hidden returned for the destination of which this is the name of a temporary file.
func temporaryOf(name string) (hidden string, ok bool) {
	if base, ok := strings.CutSuffix(name, backupEnd); ok {
		return base, true
	}
	i := strings.LastIndexByte(name, '-')
	if i < 0 || i == len(name)-1 || strings.Trim(name[i+1:], "0123456789") != "" {
		return "", false
	}
	return name[:i], true
}

// isFileName reports whether a name that was read from a mark can be that of a file beside it.
func isFileName(name string) bool {
	return name != "" && name != "." && name != ".." && len(name) <= maxName && !strings.ContainsAny(name, "/\x00")
}
