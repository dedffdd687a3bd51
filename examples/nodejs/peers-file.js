'use strict';

const fs = require('node:fs');

// followFile reads the instances from the file that render keeps, at once and at each SIGHUP. A file that cannot be read changes
// nothing.
function followFile(path, use) {
  const read = () => {
    try {
      use(JSON.parse(fs.readFileSync(path, 'utf8')));
    } catch (err) {
      console.error(`peers not read, the previous peers stay: ${err.message}`);
    }
  };
  process.on('SIGHUP', read);
  read();
}

module.exports = {followFile};
