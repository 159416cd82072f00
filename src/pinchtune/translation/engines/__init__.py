"""Translation engines, one a file; `pinchtune.plugins` names them."""
