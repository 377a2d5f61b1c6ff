import { toJsonPatch } from './edits.ts';
import { inject } from './inject.ts';
import { at, isMap, type Json, type JsonMap } from './json.ts';
import { type Outcome, SENTENCES, SURPRISING } from './outcomes.ts';
import type { InjectionSettings } from './settings.ts';

/**
 * AdmissionReview (admission.k8s.io/v1): what an API server asks before it keeps a pod,
 * and what it is told. The answer is always that the pod is allowed: what cannot have a
 * sidecar runs without one, and the person who made it reads why.
 */

export interface ReviewOptions {
  readonly settings: InjectionSettings;
  /** The API server was told to ask only about pods that say so themselves. */
  readonly demandOptIn: boolean;
  readonly neverIn: readonly string[];
}

export type ReviewReason = Outcome['reason'] | 'never_here' | 'not_a_creation' | 'failed';

export interface ReviewResult {
  readonly answer: JsonMap;
  /** For the log: a namespace, and a name or what a name will begin with. */
  readonly pod: string;
  readonly reason: ReviewReason;
  readonly detail: string | undefined;
  /** That nobody expected, with what was thrown. */
  readonly error?: unknown;
}

/** An API server shows at most 256 characters of a warning. */
const WARNING_CHARS = 250;

/** Undefined for what is no review: an API server does not send such a thing. */
export function answerReview(review: Json, options: ReviewOptions): ReviewResult | undefined {
  const request = at(review, ['request']);
  const uid = at(request, ['uid']);
  if (at(review, ['apiVersion']) !== 'admission.k8s.io/v1' || typeof uid !== 'string' || !isMap(request)) {
    return undefined;
  }
  const namespace = textAt(request, 'namespace');
  const object = at(request, ['object']) ?? null;
  const name =
    textAt(request, 'name') ||
    textAt(object, 'metadata', 'name') ||
    textAt(object, 'metadata', 'generateName');
  const pod = `${namespace}/${name}`;
  const allowed = (reason: ReviewReason, more: Partial<ReviewResult> = {}, response: JsonMap = {}) => ({
    pod,
    reason,
    detail: undefined,
    ...more,
    answer: {
      apiVersion: 'admission.k8s.io/v1',
      kind: 'AdmissionReview',
      response: { uid, allowed: true, auditAnnotations: { injection: reason }, ...response },
    },
  });
  if (options.neverIn.includes(namespace)) return allowed('never_here');
  if (textAt(request, 'operation') !== 'CREATE') return allowed('not_a_creation');
  try {
    return judged(object, { options, allowed });
  } catch (error) {
    return allowed('failed', { error }, { warnings: ['outrigger: no sidecar: the injector failed'] });
  }
}

type Allowed = (reason: ReviewReason, more?: Partial<ReviewResult>, response?: JsonMap) => ReviewResult;

function judged(
  object: Json,
  { options, allowed }: { options: ReviewOptions; allowed: Allowed },
): ReviewResult {
  const { edits, outcomes } = inject(object, options);
  const { reason, detail } = outcomes[0] ?? { reason: 'unsupported_kind', detail: undefined };
  if (edits.length > 0) {
    const patch = Buffer.from(JSON.stringify(toJsonPatch(edits))).toString('base64');
    return allowed(reason, {}, { patchType: 'JSONPatch', patch });
  }
  if (!SURPRISING.has(reason)) return allowed(reason, { detail });
  const why = `outrigger: no sidecar: this pod ${SENTENCES[reason]}${detail === undefined ? '' : ` (${detail})`}`;
  return allowed(reason, { detail }, { warnings: [why.slice(0, WARNING_CHARS)] });
}

function textAt(value: Json | undefined, ...path: readonly string[]): string {
  const found = at(value, path);
  return typeof found === 'string' ? found : '';
}
