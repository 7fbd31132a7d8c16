import type { DataObject } from './objects.js'

/** What was found in an object, in the contract's words. */
export interface Output {
  readonly actions: readonly unknown[]
  readonly fields: Readonly<Record<string, unknown>>
  readonly labels: readonly Label[]
}

export interface Label {
  readonly label: string
  readonly explanation?: string
  /** 0 to 1. */
  readonly confidence?: number
}

/** Makes of an object what SafetyKit would find in it; `error` is an evaluation that failed. What is left out is empty. */
export type Evaluate = (
  object: DataObject,
  namespace: string,
) => (Partial<Output> & { readonly error?: never }) | { readonly error: string }

/** What became of an evaluation. */
export type Outcome = { readonly output: Output } | { readonly error: string }

/** One for all objects in which nothing was found: there are millions of them. */
export const nothingFound: Outcome = { output: { actions: [], fields: {}, labels: [] } }

/** Evaluates an object. An `evaluate` that throws is an evaluation that failed. */
export function outcomeOf(evaluate: Evaluate, object: DataObject, namespace: string): Outcome {
  try {
    const said = evaluate(object, namespace)
    if (said.error !== undefined) return { error: said.error }
    const { actions = [], fields = {}, labels = [] } = said
    if (actions.length === 0 && labels.length === 0 && Object.keys(fields).length === 0) return nothingFound
    return { output: { actions, fields, labels } }
  } catch (error) {
    return { error: error instanceof Error ? error.message : String(error) }
  }
}

const rules = [
  { word: 'counterfeit', action: 'remove' },
  { word: 'weapon', action: 'review' },
]
const anyWord = new RegExp(rules.map(({ word }) => word).join('|'), 'i')
const failing = '[evaluation fails]'

/**
 * The rule without an `evaluate`: a text field that holds "counterfeit" gets that label and the action "remove"; "weapon"
 * its label and the action "review", in any case of letters. "[evaluation fails]" makes the evaluation fail. Only the
 * object's own fields are looked at, not what is within them.
 */
export const evaluateByWords: Evaluate = (object) => {
  const actions: string[] = []
  const labels: Label[] = []
  for (const [field, text] of Object.entries(object)) {
    if (typeof text !== 'string') continue
    if (text.includes(failing)) return { error: 'The object could not be evaluated.' }
    if (!anyWord.test(text)) continue
    const lower = text.toLowerCase()
    for (const { word, action } of rules) {
      if (!lower.includes(word) || labels.some(({ label }) => label === word)) continue
      labels.push({ label: word, explanation: `The field ${field} holds the word "${word}".`, confidence: 0.9 })
      actions.push(action)
    }
  }
  return { actions, labels }
}
