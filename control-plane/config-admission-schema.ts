import * as v from 'valibot';
import { list, oneOf, section, text } from '../shared/config/section.ts';

/** A text out of a file or written here. */
function source() {
  return v.pipe(
    section({ file: v.optional(text()), text: v.optional(text()) }),
    v.check(
      ({ file, text: written }) => (file === undefined) !== (written === undefined),
      'expected either file or text',
    ),
  );
}

export type Source = v.InferOutput<ReturnType<typeof source>>;

/** Who may see and use what (ARCHITECTURE.md, Admission). */
export const Admission = section({
  onMissingScope: v.optional(oneOf(['challenge', 'hide']), 'challenge'),
  groupsClaim: v.optional(text(), 'groups'),
  /** Cedar policies. */
  policies: v.optional(list(source()), []),
  /** Cedar entities as JSON, for groups and whatever else policies refer to. */
  entities: v.optional(source()),
  /** A Cedar schema that the policies are checked against. */
  schema: v.optional(source()),
});

/** What happens to a definition that is none of those approved for its name, and to one whose name has none. */
const onChange = oneOf(['flag', 'quarantine']);
const onNew = oneOf(['allow', 'flag', 'quarantine']);

/** Approved definitions of tools and prompts (ARCHITECTURE.md, Approved definitions). */
export const Pinning = section({
  file: text(),
  onChange: v.optional(onChange, 'quarantine'),
  onNew: v.optional(onNew, 'flag'),
});

/** The same for one backend. */
export const BackendPinning = section({ onChange: v.optional(onChange), onNew: v.optional(onNew) });

/** Scopes without which a tool, or anything of a backend, is not to be used. */
export const requiredScopes = v.optional(list(text()), []);
