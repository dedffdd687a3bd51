'use strict';

const http = require('node:http');
const {setTimeout: sleep} = require('node:timers/promises');

const WAIT_MS = 60_000; // how long Consul holds a request in which nothing changes
const PAUSE_MS = [250, 4000]; // between failures: first and longest
const SPACING_MS = 100; // between answers, because a service that flaps must not keep this process busy

// followConsul asks a Consul agent for the instances of a service that pass their checks, and for each change of them. An error
// changes nothing. It ends when the signal is aborted.
async function followConsul(agent, service, use, {token = '', signal} = {}) {
  let index = 0;
  let previous;
  let pause = 0;
  while (!signal?.aborted) {
    try {
      const answer = await ask(agent, service, token, signal, `stale&index=${index}&wait=${WAIT_MS}ms`, WAIT_MS * 17 / 16 + 5000);
      let {peers} = answer;
      if (peers.length === 0 && previous !== '[]') {
        // A server that lags behind, or restarts, may know no instance. Only the leader makes sure.
        ({peers} = await ask(agent, service, token, signal, 'consistent', 10_000));
      }
      // Consul's index goes back when its state is restored. The next request then must not wait for the old number.
      index = answer.index < index ? 0 : Math.max(answer.index, 1);
      pause = 0;

      // Checks that print something new wake the request, too.
      const text = JSON.stringify(peers);
      if (text !== previous) use(peers);
      previous = text;
      await sleep(SPACING_MS);
    } catch (err) {
      if (signal?.aborted) return;
      if (pause === 0) console.error(`peers not known, the previous peers stay: ${err.message}`);
      index = 0;
      pause = Math.min(Math.max(pause * 2, PAUSE_MS[0]), PAUSE_MS[1]);
      await sleep(pause * (0.5 + Math.random() / 2));
    }
  }
}

// ask sends one request to Consul. It fails for an answer that is not to be trusted.
function ask(agent, service, token, signal, options, timeout) {
  const url = `${agent}/v1/health/service/${encodeURIComponent(service)}?passing&${options}`;
  return new Promise((resolve, reject) => {
    const request = http.get(url, {signal, headers: token ? {'X-Consul-Token': token} : {}}, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (part) => { text += part; });
      response.on('error', reject);
      response.on('end', () => {
        clearTimeout(timer);
        try {
          resolve({peers: parse(response, text), index: Number(response.headers['x-consul-index'])});
        } catch (err) {
          reject(err);
        }
      });
    });
    // A connection whose other end is gone without a word would otherwise wait for ever.
    const timer = setTimeout(() => request.destroy(new Error(`no answer within ${timeout} ms`)), timeout);
    request.on('error', (err) => {
      clearTimeout(timer);
      reject(err);
    });
  });
}

function parse(response, text) {
  if (response.statusCode !== 200) throw new Error(`status ${response.statusCode}: ${text.slice(0, 200)}`);
  const streamed = response.headers['x-consul-query-backend'] === 'streaming'; // such an answer never says that there is a leader
  if (!streamed && response.headers['x-consul-knownleader'] === 'false') throw new Error('consul has no leader');
  if (response.headers['x-consul-results-filtered-by-acls'] === 'true') throw new Error('the token may not read all instances');
  if (!(Number(response.headers['x-consul-index']) >= 0)) throw new Error('the answer has no index');
  const peers = JSON.parse(text).map(({Node, Service}) => ({
    id: Service.ID,
    address: Service.Address || Node.Address,
    port: Service.Port,
    weight: Service.Weights.Passing,
  }));
  return peers
    .filter((peer) => peer.address && peer.port > 0)
    .sort((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0)); // Consul's order differs from answer to answer
}

module.exports = {followConsul};
