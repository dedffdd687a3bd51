// Package dockertest runs tests in namespaces of their own, and with a real Docker daemon of their own: no test meets the machine's
// Docker, network or processes. A test that is killed leaves no process, container or mount behind, but its folders and empty control
// groups. Linux only; a daemon needs root.
package dockertest
