import { SyncError } from '../../errors.js'
import { delegateName } from './models.js'
import type { PrismaInternals } from './prisma-client.js'

const hint = 'Apply the extension first: prisma.$extends(sync.extension()).$extends(others)'

const hooked = [
  ...['create', 'createMany', 'createManyAndReturn', 'update', 'updateMany', 'updateManyAndReturn'],
  ...['upsert', 'delete', 'deleteMany'],
]

/**
 * The hooks of an extension that was applied before run around ours. One that answers a write by another (soft delete)
 * or puts it into a transaction of its own (row-level security) asks a client that knows nothing of us.
 */
export function refuseEarlierHooks(client: PrismaInternals): void {
  for (const model of Object.keys(client._runtimeDataModel.models)) {
    const found = hooked.find(
      (action) => client._extensions.getAllQueryCallbacks(delegateName(model), action).length > 0,
    )
    if (found === undefined) continue
    const where = `${delegateName(model)}.${found}`
    throw new SyncError('CONFIG_INVALID', `capture: 'client' would come after another extension's hook on ${where}`, {
      hint,
    })
  }
}

/** For a write that another extension has taken out of the transaction in which its key would be recorded. */
export function takenAway(clientMethod: string): SyncError {
  return new SyncError(
    'CONFIG_INVALID',
    `Another extension runs ${clientMethod} in a transaction of its own, and capture: 'client' could not record its key with it. Nothing was written`,
    { hint: `${hint}; inside their hooks, call $transaction on the client that this extension was applied to` },
  )
}
