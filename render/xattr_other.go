//go:build !linux

package render

func copyExtended(string, string) {}
