import { ConfigurationError, EXIT_CONFIGURATION, loadConfig, ownEnvironment } from '../config.js';
import { labSettings } from '../lab/program/settings.js';
import { startLab } from '../lab/program/start.js';
import { faultOf } from '../log/fault.js';

// The lab's own program: it lives on when it kills the API. It loads neither Nest nor TypeORM, so that `npm start` is
// as fast with it.

try {
  await startLab(labSettings(loadConfig(await ownEnvironment())));
} catch (error) {
  const isConfiguration = error instanceof ConfigurationError;
  console.error(
    isConfiguration ? error.message : JSON.stringify({ level: 'fatal', fault: faultOf(error) }),
  );
  process.exit(isConfiguration ? EXIT_CONFIGURATION : 1);
}
