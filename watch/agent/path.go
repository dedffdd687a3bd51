package agent

import (
	"net/url"
	"strings"
)

// Segment returns a name as one segment of a path. Unescaped, a server would take names such as ".." for a way through the path.
func Segment(name string) string {
	if strings.Trim(name, ".") == "" {
		return strings.ReplaceAll(name, ".", "%2E")
	}
	return url.PathEscape(name)
}

// Segments returns a name whose slashes divide it into segments of a path: everything but its slashes escaped. A segment of dots, and the
// slash before a segment that is empty, are escaped, too: an unescaped path with these is one that web servers and proxies clean, so that
// it names something else.
func Segments(name string) string {
	segments := strings.Split(name, "/")
	var path strings.Builder
	for i, s := range segments {
		switch {
		case i == 0:
		case segments[i-1] == "" || s == "" && i < len(segments)-1:
			path.WriteString("%2F")
		default:
			path.WriteString("/")
		}
		path.WriteString(Segment(s))
	}
	return path.String()
}
