// The values that the tests share; the structs in crates/jazz-sync/tests/interop/schema.rs describe the same.
import { co, z } from "jazz-tools";

export const Note = co.map({
  title: z.string(),
  count: z.number(),
  at: z.date(),
  comment: z.optional(z.string()),
  tags: co.list(z.string()),
});

export const Leaf = co.map({ name: z.string() });

export const Dog = co.map({ type: z.literal("dog"), name: z.string() });
export const Cat = co.map({ type: z.literal("cat"), livesLeft: z.number() });
export const Pet = co.discriminatedUnion("type", [Dog, Cat]);

// One field of each kind.
export const Everything = co.map({
  title: z.string(),
  count: z.number(),
  done: z.boolean(),
  at: z.date(),
  validUntil: z.date().optional(),
  comment: z.string().optional(),
  size: z.enum(["small", "large"]),
  place: z.object({ x: z.number(), y: z.number(), label: z.string().optional() }),
  tags: co.list(z.string()),
  leaves: co.list(Leaf),
  scores: co.record(z.string(), z.number()),
  log: co.feed(z.string()),
  text: co.plainText(),
  html: co.richText(),
  file: co.fileStream(),
  vector: co.vector(3),
  leaf: Leaf.optional(),
  pet: Pet,
});

export const COMPLETE = {
  tags: true,
  leaves: { $each: true },
  scores: true,
  log: true,
  text: true,
  html: true,
  file: true,
  vector: true,
  leaf: true,
  pet: true,
};
