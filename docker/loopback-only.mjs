/**
 * Loaded before a helper server that listens wherever it can be reached: it may
 * only listen on this machine's own loopback, because it asks nobody who they are.
 */
import { Server } from 'node:net';

const { listen } = Server.prototype;
Server.prototype.listen = function listenOnLoopback(first, ...rest) {
  if (typeof first !== 'number' && !/^\d+$/.test(String(first))) return listen.call(this, first, ...rest);
  const callback = rest.find((each) => typeof each === 'function');
  return listen.call(this, { port: Number(first), host: '127.0.0.1' }, callback);
};
