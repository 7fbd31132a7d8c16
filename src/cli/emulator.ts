import { type Command, InvalidArgumentError } from 'commander'
import { addHelp } from './options.js'

/** As little a secret as the emulator's key. */
const defaultWebhookSecret = 'whsec_c2FmZXR5a2l0LWVtdWxhdG9yLXdlYmhvb2tz'

export function addEmulator(program: Command): void {
  const command = program
    .command('emulator')
    .summary('run a local SafetyKit')
    .description(
      'Runs a local SafetyKit, to develop and to test without a key, until it is stopped. It keeps all in memory.',
    )
    .option('-p, --port <port>', 'the port; 0 is any free one', wholeNumber(65_535), 4444)
    .option('--host <address>', 'the address to listen at', '127.0.0.1')
    .option('--api-key <key>', 'the key that is accepted (default: sk_emulator)')
    .option('--latency-ms <ms>', 'the time that every answer takes', wholeNumber(3_600_000))
    .option('--processing-ms <ms>', 'the time from accepted to succeeded', wholeNumber(86_400_000))
    .option(
      '--import-processing-ms <ms>',
      'the time from an upload to its objects (default: as --processing-ms)',
      wholeNumber(86_400_000),
    )
    .option('--webhook-url <url>', 'where to tell of evaluations')
    .option('--webhook-secret <secret>', 'what webhooks are signed with, whsec_…', defaultWebhookSecret)
    .option('--no-history', 'keep the latest version of every object alone')
    .option('--no-objects', 'keep no object at all, for benchmarks')
    .option('--json', 'print the URL and the key as JSON, in one line')
    .action(async (flags) => (await import('./run-emulator.js')).runEmulator(flags))
  addHelp(
    command,
    `Examples:
  safetykit-sync emulator
  safetykit-sync emulator --port 4445 --latency-ms 50
  safetykit-sync emulator --webhook-url http://127.0.0.1:3000/webhooks/safetykit`,
  )
}

function wholeNumber(max: number): (text: string) => number {
  return (text) => {
    const number = Number(text)
    if (/^\d+$/.test(text) && number <= max) return number
    throw new InvalidArgumentError(`It has to be a whole number from 0 to ${max}.`)
  }
}
