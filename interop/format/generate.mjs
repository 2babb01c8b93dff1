// Random cases: accounts that write at the same time, in groups whose members change meanwhile.
import { begin, clock, contentOf, newAccount, send, session, settle, stranger } from "./world.mjs";
import { json, primitive, text } from "./values.mjs";

const ROLES = ["reader", "writer", "writeOnly", "manager", "admin"];
const MAPPINGS = ["extend", "reader", "writer", "manager", "admin"];
const KEYS = ["a", "b", "c"];
const STEPS = 70;
const MOMENTS = 4;
const PRIMITIVES = 10;

export async function generate(seed) {
  const random = begin(seed);
  const world = new World(random);
  await world.settle();
  for (let step = 0; step < STEPS; step++) await world.step();
  return world.finish(seed);
}

class World {
  groups = [];
  values = [];
  times = [];
  invites = [];

  constructor(random) {
    this.random = random;
    this.hub = stranger();
  }

  // Makes the accounts, the first group and a value of each kind.
  async settle() {
    this.accounts = await Promise.all([...Array(3 + this.random.below(2)).keys()].map((index) => newAccount(`account ${index}`)));
    this.sync();
    const [first, ...others] = this.accounts;
    this.newGroup(first);
    for (const other of others) this.member(first, this.groups[0], other, this.random.pick(ROLES));
    for (const kind of ["map", "list", "stream", "text"]) this.newValue(first, this.groups[0], kind);
    this.sync();
  }

  // Everybody gets everything.
  sync() {
    for (const { node } of this.accounts) send(node, this.hub);
    for (const { node } of this.accounts) send(this.hub, node);
  }

  async step() {
    const { random } = this;
    const actor = random.pick(this.accounts);
    clock.tick();
    try {
      await this.#act(actor);
    } catch {
      // Not allowed, or not there yet. What was written before the refusal stays, as it would.
    }
    if (random.chance(100 / MOMENTS / 3)) this.times.push(clock.tick());
    // What happens between two of these happens at the same time.
    if (random.chance(40)) this.sync();
  }

  async #act(actor) {
    const { random } = this;
    const dice = random.below(100);
    if (dice < 45) this.write(actor, random.pick(this.values));
    else if (dice < 53) this.newValue(actor, random.pick(this.groups), random.pick(["map", "list", "stream", "text", "unique"]));
    else if (dice < 57) this.newGroup(actor);
    else if (dice < 59) actor.node.getCoValue(random.pick(this.values).id).deleteCoValue();
    else if (dice < 62) actor.node = session(actor, contentOf(actor.node));
    else if (dice < 67) this.alone(() => this.forbidden(actor, random.pick(this.groups), random.pick(this.accounts)));
    else await this.manage(actor, random.pick(this.groups), random.pick(this.accounts), dice);
  }

  async manage(actor, group, other, dice) {
    const { random } = this;
    const mine = view(actor, group);
    if (!["admin", "manager"].includes(mine.roleOf(actor.id))) return;
    // Of older groups alone: a circle, even one that is no more, can't be loaded by the reference.
    const parent = view(actor, random.pick(this.groups.slice(0, this.groups.indexOf(group) + 1)));
    if (dice < 73) this.alone(() => this.member(actor, group, other, random.pick(ROLES)));
    else if (dice < 76 && mine.get(other.id) === undefined) this.member(actor, group, other, random.pick(ROLES));
    else if (dice < 80) this.alone(() => mine.removeMember(view(actor, other.id)));
    else if (dice < 85) mine.addMember("everyone", random.pick(["reader", "writer", "writeOnly"]));
    else if (dice < 88) mine.removeMember("everyone");
    else if (dice < 92) mine.extend(parent, random.pick(MAPPINGS));
    else if (dice < 94) this.alone(() => mine.revokeExtend(parent));
    else if (dice < 96) mine.rotateReadKey();
    else await this.invite(actor, group, other);
  }

  // What may take a right away happens when nobody makes use of it at the same time. Both sides refuse a write key of one's
  // own that isn't the first, but the reference takes what hands out that key, though nobody will ever use it.
  alone(act) {
    this.sync();
    clock.tick();
    try {
      act();
    } finally {
      this.sync();
    }
  }

  newGroup(actor) {
    this.groups.push(actor.node.createGroup().id);
  }

  member(actor, group, other, role) {
    // Would give itself a write key when it no longer may; see `alone`.
    if (actor === other && role === "writeOnly") return;
    view(actor, group).addMember(view(actor, other.id), role);
  }

  // What no client would write, whether it counts or not.
  forbidden(actor, group, other) {
    const { random } = this;
    const key = random.pick([actor.id, other.id, "everyone", "readKey", `child_${group}`, "x"]);
    const value = random.pick([...ROLES, "revoked", "nonsense"]);
    const changes = [{ op: random.pick(["set", "set", "set", "del"]), key, value }];
    if (random.chance(10)) changes.push({ op: "set", key: other.id, value: "admin" });
    actor.node.getCoValue(group).makeTransaction(changes, "trusting");
  }

  // By who has no role at all: the reference lets an invite take a role away (PROTOCOL, weaknesses), which ours doesn't.
  async invite(actor, group, guest) {
    const secret = view(actor, group).createInvite(this.random.pick(ROLES));
    this.sync();
    const known = view(guest, group);
    // An invite can't give a second write key; see `alone`.
    if (known.roleOf(guest.id) !== undefined || known.get(`writeKeyFor_${guest.id}`) !== undefined) return;
    clock.tick();
    await guest.node.acceptInvite(group, secret);
    await settle();
    this.sync();
  }

  newValue(actor, group, kind) {
    const { random } = this;
    const owner = view(actor, group);
    const items = () => Array.from({ length: random.below(4) }, () => json(random));
    const make = {
      map: () => owner.createMap(random.chance(80) ? { a: json(random), b: json(random) } : {}),
      unique: () => owner.createMap({ a: json(random) }, null, "private", { uniqueness: random.pick(["u", "v"]) }, { fww: "init" }),
      list: () => owner.createList(items(), null, "private", undefined, undefined, { restrictDeletion: random.chance(30) }),
      stream: () => owner.createStream(items()),
      text: () => owner.createPlainText(text(random)),
    };
    const { id } = make[kind]();
    if (!this.values.some((value) => value.id === id)) this.values.push({ id, kind: kind === "unique" ? "map" : kind });
  }

  write(actor, { id, kind }) {
    const { random } = this;
    const value = view(actor, id);
    const privacy = random.chance(80) ? "private" : "trusting";
    switch (kind) {
      case "map":
        if (random.chance(20)) value.delete(random.pick(KEYS), privacy);
        else value.set(random.pick(KEYS), json(random), privacy);
        break;
      case "stream":
        value.push(json(random), privacy);
        break;
      case "text": {
        const length = value.entries().length;
        if (length > 0 && random.chance(30)) value.deleteRange({ from: random.below(length), to: length }, privacy);
        else if (length > 0 && random.chance(50)) value.insertAfter(random.below(length), text(random), privacy);
        else value.insertBefore(0, text(random), privacy);
        break;
      }
      case "list":
        this.#writeList(value, privacy);
    }
  }

  #writeList(list, privacy) {
    const { random } = this;
    const length = list.entries().length;
    const at = length > 0 ? random.below(length) : undefined;
    const dice = random.below(5);
    if (dice === 0) list.prepend(json(random), at, privacy);
    else if (dice === 1 && length > 0) list.delete(at, privacy);
    else if (dice === 2 && length > 0) list.replace(at, json(random), privacy);
    else if (dice === 3) list.appendItems([json(random), json(random)], at, privacy);
    else list.append(json(random), at, privacy);
  }

  finish(seed) {
    clock.tick();
    this.sync();
    const { random } = this;
    const content = contentOf(this.hub);
    const altered = content.filter(({ id, new: sessions }) => this.values.some((value) => value.id === id) && Object.keys(sessions).length > 0);
    return {
      seed: String(seed),
      accounts: this.accounts.map(({ name, id, secret }) => ({ name, id, secret })),
      groups: this.groups,
      values: this.values,
      times: [...this.times.slice(0, MOMENTS), clock.now()],
      content,
      tampered: altered.slice(0, 6).map((message) => tamper(random, structuredClone(message))),
      primitives: Array.from({ length: PRIMITIVES }, () => primitive(random)),
    };
  }
}

const view = (actor, id) => actor.node.getCoValue(id).getCurrentContent();

// Changes one session of a message, so that its signature no longer fits, or something is missing, or nothing is.
function tamper(random, message) {
  const sessions = Object.values(message.new);
  const session = random.pick(sessions);
  const transactions = session.newTransactions;
  const one = random.pick(transactions);
  switch (random.below(7)) {
    case 0:
      one.madeAt += 1;
      break;
    case 1:
      if (one.changes) one.changes = one.changes.replace(/.$/, " ]");
      else one.encryptedChanges = one.encryptedChanges.replace(/U./, (found) => (found === "UA" ? "UB" : "UA"));
      break;
    case 2:
      session.lastSignature = random.pick(sessions).lastSignature;
      break;
    case 3:
      transactions.push(one);
      break;
    case 4:
      transactions.shift();
      break;
    case 5:
      transactions.reverse();
      break;
    case 6:
      session.after += 1;
  }
  return message;
}
