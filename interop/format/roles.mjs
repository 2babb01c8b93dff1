// Who may do what in a group: every pair of an actor's role and an action, written as a transaction whether it is allowed or
// not, with the answer of the real packages. The test in crates/cojson/tests/it/interop/roles.rs compares ours.
import { LocalNode, begin, clock, crypto, deliver, newAccount, plain, send, session } from "./world.mjs";

const ROLES = ["reader", "writer", "writeOnly", "manager", "admin"];
const INVITES = ROLES.map((role) => `${role}Invite`);
const GIVEN = [...ROLES, "revoked", ...INVITES];
const STATES = ["none", ...GIVEN];

export async function roles() {
  begin("roles");
  const founder = await newAccount("founder");
  const account = await newAccount("actor");
  const parent = founder.node.createGroup().id;
  send(founder.node, account.node);
  send(account.node, founder.node);
  const rows = [];
  const groups = [];
  for (const role of STATES) {
    // Each of these is about somebody else, so they can share a group.
    const others = STATES.flatMap((target) => GIVEN.map((value) => ({ action: "set", target, key: someone(), value })));
    for (const actions of [others, ...alone(role, parent).map((action) => [action])]) {
      const group = play(founder, account, parent, role, actions);
      groups.push(group.id);
      rows.push(...group.rows);
    }
  }
  const content = [founder.id, account.id, parent, ...groups].flatMap((id) => founder.node.getCoValue(id).newContentSince(undefined));
  return { content: plain(content), rows, uses: uses(founder, account) };
}

// What an account can do with a value of a group, by each way to a role: reads it, writes to it, deletes it.
function uses(founder, account) {
  const ways = {
    none: () => {},
    revoked: (group, actor) => {
      group.addMember(actor, "writer");
      group.removeMember(actor);
    },
    ...Object.fromEntries(ROLES.map((role) => [role, (group, actor) => group.addMember(actor, role)])),
    ...Object.fromEntries(
      ["reader", "writer", "writeOnly"].map((role) => [`everyone ${role}`, (group) => group.addMember("everyone", role)]),
    ),
    ...Object.fromEntries(
      ROLES.flatMap((role) => ["extend", "reader", "writer", "manager", "admin"].map((mapping) => [`${role}, ${mapping}`, inherit(role, mapping)])),
    ),
  };
  return Object.entries(ways).map(([way, give]) => {
    clock.tick();
    const group = founder.node.createGroup();
    give(group, founder.node.getCoValue(account.id).getCurrentContent());
    clock.tick();
    const map = group.createMap({ secret: 1 });
    const others = group.core.getDependedOnCoValues();
    const content = plain([...others, group.id, map.id].flatMap((id) => founder.node.getCoValue(id).newContentSince(undefined)));
    const node = session(account, plain([founder.id, account.id].flatMap((id) => founder.node.getCoValue(id).newContentSince(undefined))));
    deliver(node, content);
    const core = node.getCoValue(map.id);
    const reads = core.getCurrentContent().get("secret") === 1;
    const at = clock.tick();
    core.makeTransaction([{ op: "set", key: "own", value: 1 }], "trusting");
    core.getCurrentContent();
    const writes = core.verifiedTransactions.some((tx) => tx.currentMadeAt === at && tx.isValid);
    let deletes = true;
    try {
      clock.tick();
      core.deleteCoValue();
    } catch {
      deletes = false;
    }
    return { way, account: account.id, secret: account.secret, map: map.id, content, reads, writes, deletes };
  });

  function inherit(role, mapping) {
    return (group, actor) => {
      const parent = founder.node.createGroup();
      parent.addMember(actor, role);
      clock.tick();
      group.extend(parent, mapping);
    };
  }
}

// Somebody whom nobody has heard of. An agent, because a group with accounts waits for these.
const someone = () => crypto.getAgentID(crypto.newRandomAgentSecret());

const ACTOR = "the actor";

// Actions that need a group of their own.
function alone(role, parent) {
  const set = (action, key, value) => ({ action, key, value });
  const key = () => crypto.newRandomKeySecret().id;
  return [
    ...GIVEN.map((value) => ({ action: "set itself", target: role, key: ACTOR, value })),
    ...["reader", "writer", "writeOnly", "revoked", "manager", "admin", "readerInvite"].map((value) => set("set everyone", "everyone", value)),
    ...["extend", ...ROLES, "revoked"].map((value) => set("set a parent", `parent_${parent}`, value)),
    set("set readKey", "readKey", key()),
    set("set groupSealer", "groupSealer", `${key()}@sealer_z11111111111111111111111111111111`),
    set("set profile", "profile", parent),
    set("set root", "root", parent),
    set("set a child", `child_${parent}`, "extend"),
    set("reveal to a member", `${key()}_for_${someone()}`, "sealed_U"),
    set("reveal to a key", `${key()}_for_${key()}`, "encrypted_U"),
    set("reveal to a group", `${key()}_sealedFor_sealer_z11111111111111111111111111111111`, "sealedForGroup_U"),
    set("reveal to everyone", `${key()}_for_everyone`, crypto.newRandomKeySecret().secret),
    set("set a write key of its own", `writeKeyFor_${ACTOR}`, key()),
    set("set a write key", `writeKeyFor_${someone()}`, key()),
    set("set nonsense", someone(), "nonsense"),
  ];
}

// A group in which the actor has the role, and does all this.
function play(founder, account, parent, role, actions) {
  clock.tick();
  const group = founder.node.createGroup();
  const set = (key, value) => group.core.makeTransaction([{ op: "set", key, value }], "trusting");
  const secret = role.endsWith("Invite") ? crypto.newRandomAgentSecret() : undefined;
  const id = secret ? crypto.getAgentID(secret) : account.id;
  clock.tick();
  if (role !== "none") set(id, role);
  for (const { action, target, key } of actions) if (action === "set" && target !== "none") set(key, target);
  const node = secret
    ? new LocalNode(secret, crypto.newRandomSessionID(id), crypto)
    : new LocalNode(account.secret, crypto.newRandomSessionID(account.id), crypto);
  for (const needed of [founder.id, account.id, parent, group.id]) deliver(node, plain(founder.node.getCoValue(needed).newContentSince(undefined)));
  const core = node.getCoValue(group.id);
  const rows = actions.map(({ key, ...action }) => {
    const own = key.replace(ACTOR, id);
    const at = clock.tick();
    core.makeTransaction([{ op: "set", key: own, value: action.value }], "trusting");
    return { group: group.id, actor: role, id, key: own, at, ...action };
  });
  core.getCurrentContent();
  const verdicts = new Map([...core.verifiedTransactions].map((tx) => [tx.currentMadeAt, tx]));
  for (const row of rows) row.valid = verdicts.get(row.at).isValid;
  deliver(founder.node, plain(core.newContentSince(founder.node.getCoValue(group.id).knownState()) ?? []));
  return { id: group.id, rows };
}
