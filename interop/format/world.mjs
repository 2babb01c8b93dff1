// A predictable world: randomness and clock follow from a seed, so that a seed gives the same case again. Must be imported
// before anything that asks for randomness.
import { createHash } from "node:crypto";

// Random bytes and choices that follow from a seed.
export class Random {
  #seed;
  #block = 0;
  #pool = Buffer.alloc(0);

  constructor(seed) {
    this.#seed = String(seed);
  }
  fill(view) {
    const bytes = Buffer.from(view.buffer, view.byteOffset, view.byteLength);
    for (let at = 0; at < bytes.length; at++) {
      if (this.#pool.length === 0) {
        this.#pool = createHash("sha256").update(`${this.#seed}#${this.#block++}`).digest();
      }
      bytes[at] = this.#pool[0];
      this.#pool = this.#pool.subarray(1);
    }
    return view;
  }
  // From 0 up to, and without, `end`.
  below(end) {
    return this.fill(new Uint32Array(1))[0] % end;
  }
  chance(percent) {
    return this.below(100) < percent;
  }
  pick(items) {
    return items[this.below(items.length)];
  }
  bytes(length) {
    return this.fill(new Uint8Array(length));
  }
}

const START = 1_750_000_000_000;
let random = new Random("none yet");
let now = START;

export const clock = {
  now: () => now,
  // Nothing is written twice at one time: the reference doesn't order that.
  tick: () => (now += 10),
};

const SystemDate = Date;
globalThis.Date = class extends SystemDate {
  constructor(...given) {
    super(...(given.length ? given : [now]));
  }
  static now() {
    return now;
  }
};
Object.defineProperty(globalThis.crypto, "getRandomValues", { value: (view) => random.fill(view), configurable: true });
// Refusals are expected, and reported by their effect. Standard output is for answers.
for (const level of ["error", "warn", "info", "log"]) console[level] = () => {};

// Starts the world of a seed.
export function begin(seed) {
  random = new Random(`${seed}, the packages`);
  now = START;
  return new Random(seed);
}

const { LocalNode, cojsonInternals } = await import("cojson");
const { WasmCrypto } = await import("cojson/crypto/WasmCrypto");
export { LocalNode, cojsonInternals };
export const crypto = await WasmCrypto.create();

export const plain = (value) => (value === undefined ? undefined : JSON.parse(JSON.stringify(value)));
export const settle = async () => {
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
};

// A new account with a node of its own.
export async function newAccount(name) {
  const secret = crypto.agentSecretFromSecretSeed(crypto.newRandomSecretSeed());
  const made = await LocalNode.withNewlyCreatedAccount({ crypto, creationProps: { name }, initialAgentSecret: secret });
  clock.tick();
  return { name, id: made.accountID, secret, node: made.node };
}

// A node that acts for nobody.
export function stranger() {
  const secret = crypto.newRandomAgentSecret();
  return new LocalNode(secret, crypto.newRandomSessionID(crypto.getAgentID(secret)), crypto);
}

// A new session of an account, with everything that `messages` bring.
export function session(account, messages) {
  const node = new LocalNode(account.secret, crypto.newRandomSessionID(account.id), crypto);
  deliver(node, messages);
  return node;
}

export function deliver(node, messages) {
  for (const message of messages) node.syncManager.handleNewContent(plain(message), "import");
}

// The ids of everything a node has, each after what it depends on.
export function idsOf(node) {
  const ids = new Set();
  const visit = (id) => {
    if (ids.has(id) || !node.getCoValue(id).isAvailable()) return;
    for (const dependency of node.getCoValue(id).getDependedOnCoValues()) visit(dependency);
    ids.add(id);
  };
  for (const value of [...node.allCoValues()]) visit(value.id);
  return [...ids];
}

// What `node` has and a node with the state `known` lacks, as messages.
export function contentOf(node, known = () => undefined) {
  return plain(idsOf(node).flatMap((id) => node.getCoValue(id).newContentSince(known(id)) ?? []));
}

// Gives `to` everything that `from` has.
export function send(from, to) {
  deliver(to, contentOf(from, (id) => (to.getCoValue(id).isAvailable() ? to.getCoValue(id).knownState() : undefined)));
}
