/**
 * What the suite has beyond the revisions that begin with initialize, and what a mesh that does not serve
 * those yet must fail. A line that passes has to go: the test says so.
 */
const ERA = 'requests without initialize and sessions: the revision 2026-07-28';
const ROUNDS = `results in several rounds (SEP-2322), in ${ERA}`;
const TASKS = `tasks as an extension, in ${ERA}`;

/** The reason why each scenario fails, by its name. Scenarios that cannot even begin leave no result. */
export const OTHER_ERA: Readonly<Record<string, string>> = {
  caching: `ttlMs and cacheScope on lists and reads, in ${ERA}`,
  'http-custom-header-server-validation': `Mcp-Param-* headers, in ${ERA}`,
  'http-header-validation': `Mcp-Method and Mcp-Name headers, in ${ERA}`,
  'input-required-result-basic-elicitation': ROUNDS,
  'input-required-result-basic-list-roots': ROUNDS,
  'input-required-result-basic-sampling': ROUNDS,
  'input-required-result-capability-check': ROUNDS,
  'input-required-result-ignore-extra-params': ROUNDS,
  'input-required-result-missing-input-response': ROUNDS,
  'input-required-result-multi-round': ROUNDS,
  'input-required-result-multiple-input-requests': ROUNDS,
  'input-required-result-non-tool-request': ROUNDS,
  'input-required-result-request-state': ROUNDS,
  'input-required-result-result-type': ROUNDS,
  'input-required-result-tampered-state': ROUNDS,
  'sep-2164-resource-not-found': `the error of an unknown resource, asked for in ${ERA}`,
  'server-stateless': `${ERA}, itself`,
  'tasks-dispatch-and-envelope': TASKS,
  'tasks-lifecycle': TASKS,
  'tasks-mrtr-composition': TASKS,
  'tasks-mrtr-input': TASKS,
  'tasks-request-headers': TASKS,
  'tasks-request-state-removal': TASKS,
  'tasks-required-task-error': TASKS,
  'tasks-wire-fields': TASKS,
};
