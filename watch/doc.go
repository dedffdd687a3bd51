// Package watch tells what is out there and keeps it fresh.
//
// A [Query] names one piece of data, a [Source] answers queries, and a [Set] asks a Source about many queries at once,
// each again as soon as its answer can have changed. What a Set hands over are states, not events: however much has
// happened since the last [Set.Take], there is one [State] for each query, the newest.
//
// Its sources are [Files] and [Fixture], and those of the folders below, such as consul. [ByKind] puts sources together.
//
// Rules such as R3 are listed in the documentation of package render.
package watch
