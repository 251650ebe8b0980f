import { render } from 'preact';
import { App } from './app.js';

const opened = /^\/runs\/([\w-]+)$/.exec(location.pathname)?.[1];
render(<App opened={opened} />, document.getElementById('app')!);
