// What the real packages say about a case: what each account sees, who has which role when, what primitives give. The same
// report as `report` in crates/cojson/tests/it/interop/report.rs.
import { cojsonInternals, crypto, deliver, idsOf, plain, session, stranger } from "./world.mjs";

const { stableStringify, idforHeader, accountHeaderForInitialAgentSecret } = cojsonInternals;

export function report(it) {
  const viewers = [...it.accounts.map((account) => [account.name, account]), ["nobody", undefined]];
  const open = (account, messages) => {
    if (account) return session(account, messages);
    const node = stranger();
    deliver(node, messages);
    return node;
  };
  const views = {};
  for (const [name, account] of viewers) {
    const node = open(account, it.content);
    views[name] = Object.fromEntries(it.values.map(({ id, kind }) => [id, content(node, id, kind, it.times)]));
  }
  const node = open(undefined, it.content);
  return {
    views,
    groups: Object.fromEntries(it.groups.map((id) => [id, group(node, id, it)])),
    known: Object.fromEntries(idsOf(node).filter((id) => !node.getCoValue(id).isDeleted).map((id) => [id, known(node, id)])),
    tampered: it.tampered.map((message) => tampered(open(it.accounts[0], without(it.content, message.id)), message)),
    primitives: it.primitives.map(primitive),
  };
}

const without = (messages, id) => messages.filter((message) => message.id !== id);

// How much of a message is taken that was changed on its way.
function tampered(node, message) {
  try {
    deliver(node, [message]);
  } catch {
    // Refused as a whole.
  }
  return node.getCoValue(message.id).isAvailable() ? known(node, message.id) : {};
}

const known = (node, id) => plain(node.getCoValue(id).knownState().sessions);

function content(node, id, kind, times) {
  const value = node.getCoValue(id);
  if (value.isDeleted) return "deleted";
  const view = value.getCurrentContent();
  switch (kind) {
    case "map":
      return {
        now: plain(view.toJSON()),
        then: times.map((time) => plain(view.atTime(time).toJSON())),
        edits: edits(view),
      };
    case "list":
      return plain(view.asArray());
    case "text":
      return view.toString();
    case "stream":
      return Object.fromEntries(
        Object.entries(view.items)
          .filter(([, items]) => items.length > 0)
          .map(([session, items]) => [session, items.map((item) => plain(item.value))]),
      );
  }
}

const edits = (map) =>
  Object.fromEntries(
    map.keys().map((key) => {
      const edit = map.lastEditAt(key);
      return [key, [edit.by, edit.at.getTime()]];
    }),
  );

function group(node, id, it) {
  const view = node.getCoValue(id).getCurrentContent();
  const roles = (at) =>
    Object.fromEntries([...it.accounts.map(({ name, id }) => [name, id]), ["everyone", "everyone"]]
      .map(([name, member]) => [name, view.atTime(at).roleOf(member) ?? null]));
  return { entries: plain(view.toJSON()), edits: edits(view), roles: it.times.map(roles) };
}

// All primitives are deterministic, so both sides must say the same.
function primitive({ value, header, seed, otherSeed, key, material }) {
  const bytes = (hex) => new Uint8Array(Buffer.from(hex, "hex"));
  const secret = crypto.agentSecretFromSecretSeed(bytes(seed));
  const other = crypto.agentSecretFromSecretSeed(bytes(otherSeed));
  const sealed = crypto.seal({
    message: key,
    from: crypto.getAgentSealerSecret(secret),
    to: crypto.getAgentSealerID(crypto.getAgentID(other)),
    nOnceMaterial: material,
  });
  return {
    stable: stableStringify(value),
    secureHash: crypto.secureHash(value),
    shortHash: crypto.shortHash(value),
    id: idforHeader(header, crypto),
    agent: crypto.getAgentID(secret),
    account: idforHeader(accountHeaderForInitialAgentSecret(secret, crypto), crypto),
    signature: crypto.sign(crypto.getAgentSignerSecret(secret), value),
    encrypted: crypto.encrypt(value, key, material),
    sealed,
    groupSealer: crypto.groupSealerFromReadKey(key).publicKey,
  };
}
