'use strict';

// A service that answers / with its own name, and /ask with the answer of an instance of the service web.
//
//   NAME   name of this instance
//   PORT   port that it listens on
//   PEERS  where to find the instances of web: the file that render keeps, or http://HOST:PORT of a Consul agent

const http = require('node:http');
const {Balancer} = require('./balancer.js');
const {followConsul} = require('./peers-consul.js');
const {followFile} = require('./peers-file.js');

const {NAME = 'web', PORT = '8000', PEERS, CONSUL_HTTP_TOKEN} = process.env;
const web = new Balancer();
const use = (peers) => {
  web.use(peers);
  console.log(`peers: ${web.ids().join(' ') || 'none'}`);
};
if (PEERS?.startsWith('http://')) followConsul(PEERS, 'web', use, {token: CONSUL_HTTP_TOKEN});
else if (PEERS) followFile(PEERS, use);

const server = http.createServer(async (request, response) => {
  if (stopping) response.setHeader('Connection', 'close');
  try {
    const answer = request.url.startsWith('/ask') ? (await web.request('/')).body : `${NAME}\n`;
    response.end(answer);
  } catch (err) {
    response.writeHead(502).end(`${err.message}\n`);
  }
});

// Stop after the requests under way, in at most five seconds. A closed connection makes clients use another instance.
let stopping = false;
function stop() {
  stopping = true;
  server.close(() => process.exit(0));
  server.closeIdleConnections();
  setTimeout(() => process.exit(0), 5000).unref();
}
process.on('SIGINT', stop);
process.on('SIGTERM', stop);

server.listen(Number(PORT));
