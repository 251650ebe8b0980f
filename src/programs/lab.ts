import { EXIT_CONFIGURATION, loadConfig, ownEnvironment } from '../config.js';
import { ConfigurationError } from '../environment/environment.js';
import { labSettings } from '../lab/program/settings.js';
import { startLab } from '../lab/program/start.js';
import { redactError } from '../log/redacted-error.js';

// The lab's own program: it survives when it kills the API. It loads neither Nest nor TypeORM, so that it does not slow
// `npm start`.

try {
  await startLab(labSettings(loadConfig(await ownEnvironment())));
} catch (error) {
  const isConfiguration = error instanceof ConfigurationError;
  console.error(
    isConfiguration ? error.message : JSON.stringify({ level: 'fatal', fault: redactError(error) }),
  );
  process.exit(isConfiguration ? EXIT_CONFIGURATION : 1);
}
