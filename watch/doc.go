// Package watch answers queries and keeps the answers up to date.
//
//   - A [Query] names one piece of data, such as the instances of a service.
//   - A [Source] answers queries. An answer is a value with an index; absent means that the source answered that the name does not exist.
//   - A [Set] asks a Source about many queries at once, each again as soon as its answer can have changed. It returns states, not events:
//     however many changes there were since the last [Set.Take], there is one [State] for each query, the newest.
//   - A [Switch] replaces the Source of a Set that runs.
//
// The sources here are [Files], which answers with contents of files, and [Fixture], which answers as Consul does from a YAML file. Others
// have a package below this one, such as consul. [ByKind] hands each query to the source of its kind. README.md says how a source is
// added; sourcetest tests what every source promises.
//
// Rules such as R3 are listed in the documentation of package render.
package watch
