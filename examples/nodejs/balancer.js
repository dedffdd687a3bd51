'use strict';

const http = require('node:http');

const IDEMPOTENT = new Set(['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE']); // requests that two instances may get

// A Balancer sends requests to instances in turn, by weight, over connections that stay open. When an instance fails, it sends the
// request to the next one.
class Balancer {
  #agent = new http.Agent({keepAlive: true, maxFreeSockets: 8});
  #peers = [];
  #hold;

  // hold is how long, in milliseconds, an instance that failed is the last choice.
  constructor({hold = 1000} = {}) {
    this.#hold = hold;
  }

  // use replaces the instances, a list of {id, address, port, weight}. Requests under way continue.
  use(peers) {
    const known = new Map(this.#peers.map((peer) => [`${peer.address} ${peer.port}`, peer]));
    this.#peers = peers.map((peer) => {
      const {turn = 0, heldUntil = 0} = known.get(`${peer.address} ${peer.port}`) ?? {};
      return {...peer, weight: Math.max(peer.weight, 1), turn, heldUntil};
    });
  }

  ids() {
    return this.#peers.map((peer) => peer.id);
  }

  // request returns {peer, status, body} of the first instance that answers without a fault of the server.
  async request(path, {method = 'GET', headers = {}, body, timeout = 2000} = {}) {
    const tried = new Set();
    let why = 'there is no instance';
    for (let peer; (peer = this.#next(tried)); tried.add(peer)) {
      try {
        return await this.#send(peer, path, method, headers, body, timeout);
      } catch (err) {
        peer.heldUntil = Date.now() + this.#hold;
        why = `${peer.id}: ${err.message}`;
        if (err.sent && !IDEMPOTENT.has(method)) break; // the instance may have acted on it
      }
    }
    throw new Error(`${method} ${path}: ${why}`);
  }

  // #next chooses by smooth weighted round robin: weights of 3 and 1 become a a b a, and not a a a b.
  #next(tried) {
    const left = this.#peers.filter((peer) => !tried.has(peer));
    const now = Date.now();
    const well = left.filter((peer) => peer.heldUntil <= now);
    const choice = well.length > 0 ? well : left;
    let best;
    let total = 0;
    for (const peer of choice) {
      peer.turn += peer.weight;
      total += peer.weight;
      if (!best || peer.turn > best.turn) best = peer;
    }
    if (best) best.turn -= total;
    return best;
  }

  #send(peer, path, method, headers, body, timeout) {
    return new Promise((resolve, reject) => {
      let sent = false;
      const fail = (err) => {
        clearTimeout(timer);
        reject(Object.assign(err, {sent}));
      };
      const request = http.request({host: peer.address, port: peer.port, path, method, headers, agent: this.#agent}, (response) => {
        const parts = [];
        response.on('data', (part) => parts.push(part));
        response.on('error', fail); // the connection ended within the answer
        response.on('end', () => {
          if (response.statusCode >= 502 && response.statusCode <= 504) {
            fail(new Error(`status ${response.statusCode}`));
            return;
          }
          clearTimeout(timer);
          resolve({peer: peer.id, status: response.statusCode, body: Buffer.concat(parts)});
        });
      });
      const timer = setTimeout(() => request.destroy(new Error(`no answer within ${timeout} ms`)), timeout);
      request.on('socket', (socket) => {
        if (socket.connecting) socket.once('connect', () => { sent = true; });
        else sent = true;
      });
      request.on('error', fail);
      request.end(body);
    });
  }
}

module.exports = {Balancer};
