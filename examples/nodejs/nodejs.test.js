'use strict';

// Run with: node --test

const assert = require('node:assert');
const http = require('node:http');
const test = require('node:test');
const {Balancer} = require('./balancer.js');
const {followConsul} = require('./peers-consul.js');

// serve starts a server that the test ends, and returns it as a peer.
async function serve(t, id, handler) {
  const peer = {id, address: '127.0.0.1', weight: 1, requests: 0, connections: 0};
  const server = http.createServer((request, response) => {
    peer.requests++;
    request.resume();
    handler(request, response);
  });
  server.on('connection', () => { peer.connections++; });
  await new Promise((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  peer.port = server.address().port;
  peer.close = () => {
    server.closeAllConnections();
    return new Promise((resolve) => { server.close(resolve); });
  };
  t.after(peer.close);
  return peer;
}

const answer = (request, response) => response.end('well');

async function askedInTurn(balancer, n, options) {
  const all = [];
  for (let i = 0; i < n; i++) all.push((await balancer.request('/', options)).peer);
  return all.join(' ');
}

test('peers are used in turn, by weight, over connections that stay open', async (t) => {
  const [a, b] = [await serve(t, 'a', answer), await serve(t, 'b', answer)];
  const balancer = new Balancer();
  balancer.use([{...a, weight: 3}, b]);
  assert.equal(await askedInTurn(balancer, 8), 'a a b a a a b a');
  assert.deepEqual([a.connections, b.connections], [1, 1]);
  balancer.use([b]);
  assert.equal(await askedInTurn(balancer, 2), 'b b');
});

test('a request that fails is sent to the next peer, and the peer that failed is the last choice', async (t) => {
  const well = await serve(t, 'well', answer);
  for (const [name, handler] of Object.entries({
    busy: (request, response) => response.writeHead(503).end(),
    hangs: () => {},
    reset: (request) => request.socket.destroy(),
    partial: (request, response) => {
      response.writeHead(200, {'Content-Length': 100});
      response.write('part', () => request.socket.destroy());
    },
  })) {
    const bad = await serve(t, name, handler);
    const balancer = new Balancer({hold: 60_000});
    balancer.use([bad, well]);
    assert.equal(await askedInTurn(balancer, 3, {timeout: name === 'hangs' ? 1000 : 20_000}), 'well well well', name);
    assert.equal(bad.requests, 1, name);
  }
});

test('no two peers get a request that is not idempotent', async (t) => {
  const [hangs, well, gone] = [await serve(t, 'hangs', () => {}), await serve(t, 'well', answer), await serve(t, 'gone', answer)];
  await gone.close();
  const balancer = new Balancer();
  balancer.use([hangs, well]);
  await assert.rejects(balancer.request('/', {method: 'POST', body: 'x', timeout: 200}), /POST \/: hangs: no answer within 200 ms/);
  assert.equal(well.requests, 0);
  balancer.use([gone, well]); // which cannot have got it
  assert.equal((await balancer.request('/', {method: 'POST', body: 'x'})).peer, 'well');
});

test('without a peer that answers, the error says why', async (t) => {
  const balancer = new Balancer();
  await assert.rejects(balancer.request('/'), /there is no instance/);
  const gone = await serve(t, 'gone', answer);
  await gone.close();
  balancer.use([gone]);
  await assert.rejects(balancer.request('/'), /gone: .*ECONNREFUSED/);
});

test('Consul is followed', async (t) => {
  const instance = (id) => ({Node: {Address: '10.0.0.1'}, Service: {ID: id, Port: 80, Address: '', Weights: {Passing: 1}}});
  // The answers of a Consul: status, index, instances, further headers. What follows the last answer waits.
  const answers = [
    [200, 7, [instance('b'), instance('a')]],
    [200, 8, [instance('a'), instance('b')], {'X-Consul-KnownLeader': 'false', 'X-Consul-Query-Backend': 'streaming'}], // no change
    [500, 9, []],
    [200, 9, [], {'X-Consul-KnownLeader': 'false'}],
    [200, 9, []], // of a server that lags behind
    [200, 9, [instance('c')]], // of the leader
    [200, 3, [instance('d')]], // Consul was restored
    [200, 3, []],
    [200, 3, []], // of the leader
  ];
  const urls = [];
  const consul = await serve(t, 'consul', (request, response) => {
    urls.push(request.url);
    const [status, index, list, headers] = answers.shift() ?? [];
    if (status) response.writeHead(status, {'X-Consul-Index': index, ...headers}).end(JSON.stringify(list));
  });
  const [seen, end] = [[], new AbortController()];
  await new Promise((resolve) => {
    followConsul(`http://127.0.0.1:${consul.port}`, 'web', (peers) => {
      seen.push(peers.map((peer) => peer.id).join(' '));
      if (peers.length === 0) resolve();
    }, {signal: end.signal});
    t.after(() => end.abort());
  });
  assert.deepEqual(seen, ['a b', 'c', 'd', '']);
  const asked = urls.map((url) => url.replace(/.*passing&/, '').replace('&wait=60000ms', ''));
  const want = ['stale&index=0', 'stale&index=7', 'stale&index=8', 'stale&index=0', 'stale&index=0', 'consistent', 'stale&index=9', 'stale&index=0'];
  assert.deepEqual(asked.slice(0, want.length), want);
});
