"""What gunicorn serves: `gunicorn cexup.wsgi`."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cexup.settings")

application = get_wsgi_application()
