package watch

// NewUnnotifiedFiles returns a source of files as NewFiles does where the system does not notify of changes.
func NewUnnotifiedFiles() *Files { return newFiles(nil) }
