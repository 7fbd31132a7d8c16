import { type Command, InvalidArgumentError, Option } from 'commander'
import { addHelp } from './options.js'

export function addInit(program: Command): void {
  const command = program
    .command('init')
    .summary('write a first safetykit.config.ts')
    .description(
      "Reads Prisma's schema, asks which models are to be sent and how changes are noticed, and writes a configuration: " +
        'namespaces and settings of fields are guessed from names and types, and what looks secret is left out. With ' +
        '--tables it reads the tables of the database instead, for applications without Prisma. It changes nothing else.',
    )
    .option('-c, --config <file>', 'the file to write', 'safetykit.config.ts')
    .option('--schema <path>', "Prisma's schema, a file or a folder (default: where Prisma itself finds it)")
    .option('--tables', 'read the tables of the database rather than the schema of Prisma')
    .option('--database-url <url>', 'the database, with --tables (default: DATABASE_URL)')
    .option('--models <names>', 'what to send, with commas: Product,Seller; with --tables: public.products', commas)
    .addOption(
      new Option('--capture <how>', 'how changes are noticed (default: trigger)').choices([
        'trigger',
        'client',
        'replication',
      ]),
    )
    .option('-y, --yes', 'ask nothing: all models, unless --models says which')
    .option('--force', 'write the file even if it is there')
    .action(async (flags) => (await import('./run-init.js')).runInit(flags))
  addHelp(
    command,
    `Examples:
  safetykit-sync init
  safetykit-sync init --models Product,Seller --capture trigger --yes
  safetykit-sync init --tables --models public.products --yes`,
  )
}

function commas(text: string): readonly string[] {
  const names = text
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '')
  if (names.length > 0) return names
  throw new InvalidArgumentError('It has to name something, for example: Product,Seller')
}
