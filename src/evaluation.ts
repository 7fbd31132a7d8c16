/** What SafetyKit made of an object. */
export interface Evaluation {
  readonly namespace: string
  readonly objectId: string
  /** The request that it was sent under. */
  readonly requestId: string
  readonly status: 'succeeded' | 'failed'
  /** As the API gave it; `null` where the evaluation failed. */
  readonly output: EvaluationOutput | null
  /** Where SafetyKit shows it. */
  readonly url: string | null
  /** Why it failed, in the API's words. */
  readonly error: string | null
}

/** Fields that the API adds later are handed through. */
export interface EvaluationOutput {
  readonly labels: readonly { readonly label: string; readonly [detail: string]: unknown }[]
  readonly actions: readonly unknown[]
  readonly fields: { readonly [field: string]: unknown }
  readonly [more: string]: unknown
}
