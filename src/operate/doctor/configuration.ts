import { constants } from 'node:fs'
import { access, statfs } from 'node:fs/promises'
import path from 'node:path'
import type { ResolvedSync } from '../../config/resolved.js'
import { temporaryDirectory } from '../../environment.js'
import { isSyncError } from '../../errors.js'
import { namespaceSchemas } from '../../mapping/settings.js'
import { failuresOf } from './failures.js'
import { type Check, failure, ok, type Verdict, warning } from './finding.js'
import { bytesText } from './words.js'

/** The Nodes that this package supports: `engines` of its manifest. */
const supportedNodes = '20.19, 22.12 or 24, and newer'

export const nodeCheck: Check<string> = {
  check: 'node',
  why: 'On another Node than those that it is tested with, anything may fail.',
  look: async (version) => {
    const [major = 0, minor = 0] = version.replace(/^v/, '').split('.').map(Number)
    const supported = (major === 20 && minor >= 19) || (major === 22 && minor >= 12) || major >= 24
    const found = `Node ${version.replace(/^v/, '')}`
    return supported ? ok(found) : failure(found, [{ do: `Use Node ${supportedNodes}.` }])
  },
}

export const describeConfiguration = ({ mappings, capture, deliver }: ResolvedSync): Verdict => {
  const tables = new Set(mappings.map(({ table }) => `${table.schema ?? ''}.${table.name}`)).size
  return ok(`${counted(mappings.length, 'mapping')} of ${counted(tables, 'table')}, capture by ${capture}, ${deliver}`)
}

const counted = (count: number, what: string): string => `${count} ${what}${count === 1 ? '' : 's'}`

export interface ConfigurationGiven {
  readonly resolved: ResolvedSync
  readonly webhookSecrets: () => readonly string[]
}

export const configurationChecks: readonly Check<ConfigurationGiven>[] = [
  {
    check: 'namespaces',
    why: 'A namespace has one schema: where two mappings say different things of one field, nothing can be pushed.',
    look: async ({ resolved }) => {
      const names = namespaceSchemas(resolved.mappings).map(({ namespace }) => namespace)
      return ok(names.join(', '))
    },
  },
  {
    check: 'webhook-secret',
    why: 'Webhooks that cannot be verified are refused, and evaluations are only asked for much later.',
    look: async ({ resolved, webhookSecrets }) => {
      if (resolved.results !== 'webhook') return ok(`not needed: results is '${resolved.results}'`)
      try {
        return ok(`${counted(webhookSecrets().length, 'secret')} in the environment`)
      } catch (error) {
        // An application may hand its own secret to the webhook; one that is malformed helps nobody.
        if (!isSyncError(error) || error.code !== 'SETTING_MISSING') return failuresOf(error)
        return warning(error.message, error.hint === undefined ? [] : [{ do: error.hint }])
      }
    },
  },
  {
    check: 'spool',
    why: 'A backfill writes the files of imports there, and stops where it cannot.',
    look: ({ resolved }) => lookAtSpool(resolved),
  },
]

/** What a backfill has there at once, of `import.maxPartBytes`. */
const partsAtOnce = 3

async function lookAtSpool({ import: settings }: ResolvedSync): Promise<Verdict> {
  const directory = path.resolve(settings.spoolDirectory ?? temporaryDirectory())
  const setting = { do: 'Let this user write there, or set import.spoolDirectory to a folder where it may.' }
  try {
    const there = await nearestThere(directory)
    await access(there, constants.W_OK | constants.X_OK)
    const { bavail, bsize } = await statfs(there)
    const [free, needed] = [bavail * bsize, settings.maxPartBytes * partsAtOnce]
    const found = `${directory} can be written, ${bytesText(free)} free`
    if (free >= needed) return ok(found)
    const room = `Make room for ${bytesText(needed)}, lower import.maxPartBytes, or set import.spoolDirectory to another disk.`
    return warning(found, [{ do: room }])
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown'
    return failure(`${directory} cannot be written (${code})`, [setting])
  }
}

/** The folder itself is made by the first backfill. */
async function nearestThere(directory: string): Promise<string> {
  try {
    await access(directory)
    return directory
  } catch (error) {
    const missing = error instanceof Error && 'code' in error && error.code === 'ENOENT'
    if (!missing || path.dirname(directory) === directory) throw error
    return nearestThere(path.dirname(directory))
  }
}
