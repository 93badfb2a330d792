// A small application: the user of the page calls another one, or is called. It stands for yours.

import { connect } from './callbox.js';

const $ = (id) => document.getElementById(id);
const { server, token, to } = Object.fromEntries(new URLSearchParams(location.search));

function show(call) {
  // For the tests.
  window.call = call;
  const update = () => {
    $('state').value = call.state;
    $('hang-up').disabled = call.over;
  };
  call.on('state', update);
  call.on('message', (text) => { $('message').value = text; });
  call.on('stream', (stream) => { $('remote').srcObject = stream; });
  $('hang-up').onclick = () => call.hangUp();
  update();
}

const box = await connect(server, { token });
// For the tests.
window.box = box;
box.on('incoming', (call) => {
  show(call);
  call.accept({ video: true });
});
$('state').value = 'online';
$('call').disabled = !to;
$('call').onclick = () => {
  const call = box.createCall(to, { video: true });
  show(call);
  call.start();
};
