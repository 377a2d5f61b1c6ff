import { parser } from '@prometheus-io/lezer-promql';

/** What a query of Prometheus asks for. */
export interface Query {
  readonly selectors: readonly Selector[];
  /** Labels that it groups or joins by. */
  readonly groups: readonly string[];
}

export interface Selector {
  readonly metric: string;
  readonly matchers: readonly { readonly label: string; readonly value: string }[];
}

/** Throws for what is no PromQL; what Grafana puts in is a duration like any other. */
export function parseQuery(text: string): Query {
  const query = text.replaceAll('$__rate_interval', '5m');
  const selectors: { metric: string; matchers: { label: string; value: string }[] }[] = [];
  const groups: string[] = [];
  let label = '';
  let within = '';
  parser.parse(query).iterate({
    enter({ name, type, from, to }) {
      const said = query.slice(from, to);
      const selector = selectors.at(-1);
      if (type.isError) throw new Error(`no PromQL at ${from}: ${text}`);
      if (name === 'VectorSelector') selectors.push({ metric: '', matchers: [] });
      if (name === 'GroupingLabels' || name === 'LabelMatchers') within = name;
      if (name === 'Identifier' && selector !== undefined) selector.metric = said;
      if (name === 'LabelName') {
        if (within === 'GroupingLabels') groups.push(said);
        else label = said;
      }
      if (name === 'StringLiteral' && within === 'LabelMatchers')
        selector?.matchers.push({ label, value: said.slice(1, -1) });
    },
  });
  return { selectors, groups };
}

/** What one program exposes under one name; of a histogram, the name of the whole. */
export interface Exposed {
  readonly type: string;
  readonly labels: Set<string>;
}

/** Reads the Prometheus text format. */
export function readExposition(text: string, into = new Map<string, Exposed>()): Map<string, Exposed> {
  for (const line of text.split('\n')) {
    const [, name = '', type = ''] = /^# TYPE (\S+) (\S+)$/.exec(line) ?? [];
    if (name !== '' && !into.has(name)) into.set(name, { type, labels: new Set() });
    const [, sample = '', labels = ''] = /^([a-z_]+)(?:\{(.*)\})? \S+$/.exec(line) ?? [];
    for (const [, label = ''] of labels.matchAll(/(\w+)="/g)) exposedAs(sample, into)?.labels.add(label);
  }
  return into;
}

/** What a sample belongs to: itself, or the histogram or summary that it is a part of. */
export function exposedAs(sample: string, exposed: ReadonlyMap<string, Exposed>): Exposed | undefined {
  const whole = exposed.get(sample);
  if (whole !== undefined) return whole.type === 'histogram' ? undefined : whole;
  const part = exposed.get(sample.replace(/_(bucket|sum|count)$/, ''));
  return part?.type === 'histogram' ? part : undefined;
}
