import { type Emulator, type EmulatorOptions, startEmulator } from '../emulator/index.js'
import { SyncError } from '../errors.js'
import { onStopSignals } from './stop-signals.js'
import { paintFor } from './terminal.js'

interface Flags {
  readonly port: number
  readonly host: string
  readonly apiKey?: string
  readonly latencyMs?: number
  readonly processingMs?: number
  readonly importProcessingMs?: number
  readonly webhookUrl?: string
  readonly webhookSecret: string
  readonly history: boolean
  readonly objects: boolean
  readonly json?: true
}

export async function runEmulator(flags: Flags): Promise<void> {
  const emulator = await listening(flags)
  let stop = (): void => {}
  const stopped = new Promise<void>((resolve) => {
    stop = resolve
  })
  const release = onStopSignals(stop)
  try {
    const { url, apiKey } = emulator
    // Not by `print`: this key is no secret, and may be the one that is set as SAFETYKIT_API_KEY.
    process.stdout.write(`${flags.json ? JSON.stringify({ url, apiKey }) : introduction(url, apiKey, flags)}\n`)
    await stopped
  } finally {
    release()
    await emulator.close()
  }
}

function introduction(url: string, apiKey: string, { webhookUrl, webhookSecret }: Flags): string {
  const paint = paintFor(process.stdout)
  return [
    `SafetyKit's emulator listens at ${paint('bold', url)}`,
    '',
    paint('dim', '# for .env, or to be exported'),
    `SAFETYKIT_BASE_URL=${url}`,
    `SAFETYKIT_API_KEY=${apiKey}`,
    ...(webhookUrl === undefined ? [] : [`SAFETYKIT_WEBHOOK_SECRET=${webhookSecret}`]),
    '',
    paint('dim', 'Stop it with Ctrl-C.'),
  ].join('\n')
}

async function listening(flags: Flags): Promise<Emulator> {
  const { port, host, apiKey, latencyMs, processingMs, importProcessingMs, webhookUrl, webhookSecret } = flags
  const options: EmulatorOptions = {
    port,
    host,
    keepHistory: flags.history,
    keepObjects: flags.objects,
    ...(apiKey === undefined ? {} : { apiKey }),
    ...(processingMs === undefined ? {} : { processingMs }),
    ...(importProcessingMs === undefined ? {} : { importProcessingMs }),
    ...(webhookUrl === undefined ? {} : { webhook: { url: webhookUrl, secret: webhookSecret } }),
    ...(latencyMs === undefined ? {} : { faults: [{ do: { latencyMs } }] }),
  }
  try {
    return await startEmulator(options)
  } catch (error) {
    if (!(error instanceof Error)) throw error
    if (error instanceof TypeError && !('code' in error)) {
      throw new SyncError('CONFIG_INVALID', `The emulator cannot send webhooks: ${error.message}`, {
        hint: 'Give an HTTP URL with --webhook-url, and whsec_ followed by base64 with --webhook-secret.',
      })
    }
    if (!('code' in error)) throw error
    throw new SyncError('CONFIG_INVALID', `The emulator cannot listen at ${host}:${port} (${error.code})`, {
      cause: error,
      hint: 'Choose another port with --port (0 is any free one), or an address of this machine with --host.',
    })
  }
}
