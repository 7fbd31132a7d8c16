/** `skipped`: it rests on something that failed, or was not asked for; `found` says why. */
export type Status = 'ok' | 'warning' | 'failure' | 'skipped'

/** A part of what mends a finding; the parts are to be done in their order. */
export type Step =
  /** To be run as it stands: in the mapped tables' database, or in that of the side tables. */
  | { readonly sql: string; readonly database?: 'side tables' }
  /** A command. */
  | { readonly run: string }
  /** A setting, or what only a person can do. */
  | { readonly do: string }

/** What a look at one thing came to. */
export interface Verdict {
  readonly status: Status
  /** A sentence without values of rows and without secrets. */
  readonly found: string
  /** What of the mapping or the database it is about: `public.products`, `models.Product.fields.price`. */
  readonly subject: string | null
  /** Empty where nothing is to be done. */
  readonly fix: readonly Step[]
}

/** One line of the report, as `doctor --json` prints it. Names are only ever added. */
export interface Finding extends Verdict {
  readonly group: string
  /** Which precondition was looked at; the same word in every report. */
  readonly check: string
  /** What goes wrong where it is not so. */
  readonly why: string
}

/** A precondition. */
export interface Check<Given> {
  readonly check: string
  readonly why: string
  readonly look: (given: Given) => Promise<Verdict | readonly Verdict[]>
}

export interface DoctorReport {
  /** When it was made, ISO 8601. */
  readonly at: string
  /** Nothing fails. */
  readonly ok: boolean
  readonly counts: Readonly<Record<Status, number>>
  /** In the order in which one thing rests on another. */
  readonly findings: readonly Finding[]
}

export const ok = (found: string, subject: string | null = null): Verdict => ({
  status: 'ok',
  found,
  subject,
  fix: [],
})

export const warning = (found: string, fix: readonly Step[] = [], subject: string | null = null): Verdict => ({
  status: 'warning',
  found,
  subject,
  fix,
})

export const failure = (found: string, fix: readonly Step[] = [], subject: string | null = null): Verdict => ({
  status: 'failure',
  found,
  subject,
  fix,
})

export const skipped = (found: string): Verdict => ({ status: 'skipped', found, subject: null, fix: [] })

/** The command that makes in the database what the configuration needs. */
export const migrateStep: Step = { run: 'safetykit-sync migrate' }
