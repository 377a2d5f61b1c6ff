/**
 * What the conformance suite starts as a client of its servers, `login-client.mjs STAGE URL`: it asks the stage,
 * which has a mesh, to be that client, and is done when the stage is.
 */
const [stage = '', url = ''] = process.argv.slice(2);
const { MCP_CONFORMANCE_CONTEXT: context = '{}', MCP_CONFORMANCE_SCENARIO: scenario = '' } = process.env;
const body = JSON.stringify({ url, scenario, context: JSON.parse(context) });
const answer = await fetch(stage, { method: 'POST', body });
console.error(await answer.text());
process.exitCode = answer.status === 200 ? 0 : 1;
