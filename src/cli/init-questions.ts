import { cancel, isCancel, multiselect, select } from '@clack/prompts'
import type { Candidate } from '../init/candidate.js'
import { namespaceOf } from '../init/names.js'
import { endProcess } from './end-process.js'
import { exitCodes } from './exit-codes.js'

export type Capture = 'trigger' | 'client' | 'replication'

export interface Answers {
  readonly names: readonly string[]
  readonly capture: Capture
}

interface Asking {
  readonly candidates: readonly Candidate[]
  /** What was said already is not asked. */
  readonly given: { readonly names: readonly string[] | undefined; readonly capture: Capture | undefined }
  readonly prisma: boolean
}

const captures: readonly { readonly value: Capture; readonly label: string; readonly hint: string }[] = [
  { value: 'trigger', label: 'Triggers', hint: 'sees every writer; needs the owner of the tables, once' },
  { value: 'client', label: 'The Prisma client', hint: 'nothing on your tables; other writers are seen by scans' },
  { value: 'replication', label: 'Logical replication', hint: 'no cost for writers; needs wal_level = logical' },
]

/** Asks in the terminal. */
export async function askInit({ candidates, given, prisma }: Asking): Promise<Answers> {
  const names =
    given.names ??
    (await answered(
      multiselect({
        message: `Which ${prisma ? 'models' : 'tables'} are to be sent?`,
        options: candidates.map(({ name, shortName }) => ({ value: name, label: name, hint: namespaceOf(shortName) })),
        required: true,
      }),
    ))
  const capture =
    given.capture ??
    (await answered(
      select({
        message: 'How are changes noticed?',
        options: captures.filter(({ value }) => prisma || value !== 'client').map((one) => ({ ...one })),
      }),
    ))
  return { names, capture }
}

/** Ctrl-C, and whatever else a terminal leaves a question with, ends the process. */
async function answered<T>(asked: Promise<T>): Promise<Exclude<T, symbol>> {
  const answer = await asked
  if (!isCancel(answer)) return answer as Exclude<T, symbol>
  cancel('Nothing was written.')
  endProcess(exitCodes.interrupted)
  return new Promise(() => {})
}
